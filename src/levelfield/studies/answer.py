"""The answer to a study's question, in words, from its rows: the effect of each step with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from levelfield.report.numbers import difference_interval, signed

if TYPE_CHECKING:
    from levelfield.compare import Difference
    from levelfield.report.table import StudyTable
    from levelfield.studies.study import Step


def with_answer(table: StudyTable, steps: Sequence[Step]) -> StudyTable:
    """`table` with the answer that its rows give to the effect of `steps`; unchanged where none can be computed."""
    text = answer(table, steps)
    return replace(table, study=replace(table.study, answer=text)) if text else table


def answer(table: StudyTable, steps: Sequence[Step]) -> str:
    """A sentence for each test set: the steps whose effect is beyond doubt first, then the others with their intervals.

    The differences and intervals are the table's own (paired by seed, adjusted for the number of comparisons).
    """
    panel_of = {row.name: row.panel for row in table.rows if row.top1 is not None}
    sentences = []
    for panel, comparison in table.panels.items():
        effects = [
            (step, pair)
            for step in steps
            if panel_of.get(step.before) == panel_of.get(step.after) == panel
            and (pair := comparison.between(step.after, step.before)) is not None
            and pair.estimate is not None
        ]
        if not effects:
            continue
        decided = [f"{step.name} ({_effect(pair)})" for step, pair in effects if pair.different]
        open_ = [f"{step.name} ({_effect(pair)})" for step, pair in effects if not pair.different]
        parts = [f"beyond doubt the effect of {_listed(decided)}"] if decided else []
        parts += [f"no effect can be told of {_listed(open_)}"] if open_ else []
        sentences.append(f"On {panel}: {'; '.join(parts)}.")
    if not sentences:
        return ""
    return " ".join(sentences) + " Effects are points of top-1 over the step before, with adjusted 95 % intervals."


def _effect(pair: Difference) -> str:
    interval = "no interval" if pair.low is None else difference_interval(pair)
    return f"{signed(pair.estimate)}, {interval}, n = {pair.n}"


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
