"""The answer to a study's question, in words, from its rows: the effect of each step with its interval."""

from __future__ import annotations

from levelfield.statistics import Difference
from levelfield.tables.lists_in_words import listed
from levelfield.tables.number_format import difference_interval, signed
from levelfield.tables.table import StudyTable


def answer(table: StudyTable) -> str:
    """A sentence for each test set: the steps of the study whose effect is beyond doubt first, then the others with
    their intervals; "" where none can be computed.

    The differences and intervals are the table's own (adjusted for the number of comparisons).
    """
    line = {name: row for row in table.rows if row.top1 is not None for name in row.runs.row.names}
    sentences = []
    for panel, comparison in table.panels.items():
        effects = [
            (name, pair)
            for name, before, after in table.study.steps
            if before in line and after in line and line[before].panel == line[after].panel == panel
            and (pair := comparison.between(line[after].name, line[before].name)) is not None
            and pair.estimate is not None
        ]  # fmt: skip
        if not effects:
            continue
        decided = [f"{name} ({_effect(pair)})" for name, pair in effects if pair.different]
        open_ = [f"{name} ({_effect(pair)})" for name, pair in effects if not pair.different]
        parts = [f"beyond doubt the effect of {listed(decided, len(decided))}"] if decided else []
        parts += [f"no effect can be told of {listed(open_, len(open_))}"] if open_ else []
        sentences.append(f"On {panel}: {'; '.join(parts)}.")
    if not sentences:
        return ""
    return " ".join(sentences) + " Effects are points of top-1 over the step before, with adjusted 95 % intervals."


def _effect(pair: Difference) -> str:
    interval = "no interval" if pair.low is None else difference_interval(pair)
    return f"{signed(pair.estimate)}, {interval}, n = {_runs(pair)}"


def _runs(pair: Difference) -> str:
    a, b = pair.runs
    return str(a) if a == b else f"{a} and {b}"
