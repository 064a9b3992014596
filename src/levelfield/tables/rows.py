"""What a table is made of: rows (the runs of one setting over seeds) and the published figures beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from levelfield.runs import RunFolder
from levelfield.spec import RunSpec
from levelfield.statistics import MARGIN
from levelfield.studies.declared.published_figures import Published
from levelfield.tables.looks import Looks
from levelfield.tables.sweep import Sweep
from levelfield.tables.verdict_rule import VerdictRule


@dataclass(frozen=True)
class Row:
    """One row: its name (unique in the table), label, group, the runs that exist and the runs that were declared.

    `declared`: the RunSpecs that the row asks for (one is enough where they differ only in the seed), so that a row
    without any run is still listed and audited; empty: the specs of the runs stand for them. `planned`: the seeds that
    were asked for, where it is known. `predictions`: files of
    somebody else's predictions, counted as one run each. `facts`: what is known of how such a row came about and no
    RunSpec says, by the keys of `levelfield.tables.audit` (`selected_on: test`, ...). `failures`: by seed, why there is
    no result of it. `also`: rows of other names that are the same training (`one_per_training`).
    """

    name: str
    label: str = ""
    group: str = ""
    runs: tuple[RunFolder, ...] = ()
    declared: tuple[RunSpec, ...] = ()
    planned: tuple[int, ...] = ()
    published: Published | None = None
    predictions: tuple[Path, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    also: tuple[Row, ...] = ()

    @property
    def title(self) -> str:
        return self.label or self.name

    @property
    def names(self) -> tuple[str, ...]:
        """All names under which the training is listed."""
        return (self.name, *(row.name for row in self.also))


@dataclass(frozen=True)
class StudyRows:
    """A study as a report needs it: name, question, rows, and its baseline row (None: the first with a result).

    `scale`: "" or "full" for the study as published; any other is reduced, and published values are not compared.
    `steps`: (name, row before, row after) of every change whose effect the question asks for; `answer`: what the rows
    say to it, made with the table. `sweeps`: how sensitive rows are to learning rate and weight decay, where that was
    measured. `looks`: those made at the table while it grew; None for one look at all runs.

    `factors`: of a factorial design the rows in each position of each part, first those that have it.

    `curves`: by network the rows that are it at several sizes, lengths or shares of the data. `extrapolate`: to so many
    times the largest cost their laws are asked what would come; None: not at all.

    `changes`: what was changed on the command line of what its file trains. `varies`: the keys of a run that its
    question is about (`levelfield.spec.varied_keys`); None where it declares none, and VARIES stands for them.
    `margin` (points of top-1), `verdict`: by which rule its table is decided.
    `command` reproduces the study, `path` is its folder, `source` what it was loaded from (a name or a file), `plugins`
    with what networks of one's own; all may be absent.
    """

    name: str
    rows: tuple[Row, ...]
    question: str = ""
    answer: str = ""
    description: str = ""
    scale: str = ""
    baseline: str | None = None
    varies: tuple[str, ...] | None = None
    changes: tuple[str, ...] = ()
    steps: tuple[tuple[str, str, str], ...] = ()
    factors: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    curves: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extrapolate: float | None = None
    sweeps: tuple[Sweep, ...] = ()
    looks: Looks | None = None
    notes: tuple[str, ...] = ()
    margin: float = MARGIN
    verdict: VerdictRule = "usual"
    command: str = ""
    source: str = ""
    plugins: tuple[str, ...] = ()
    path: Path | None = None


def one_per_training(rows: Sequence[Row]) -> tuple[Row, ...]:
    """`rows` with those that are declared as the same training, with the same runs, in one: the first, which names the
    others in `also`. Each training then counts once in every comparison."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_training(row), []).append(row)
    return tuple(_joined(members) for members in groups.values())


def _training(row: Row) -> str:
    if not row.declared or row.predictions:
        return f"row {row.name}"
    runs = [str(run.path) for run in row.runs]
    return json.dumps([[spec.science() for spec in row.declared], runs], sort_keys=True)


def _joined(rows: Sequence[Row]) -> Row:
    first = rows[0]
    if len(rows) == 1:
        return first
    return replace(
        first,
        also=tuple(rows[1:]),
        published=next((row.published for row in rows if row.published is not None), None),
        planned=tuple(sorted({seed for row in rows for seed in row.planned})),
        notes=tuple(dict.fromkeys(note for row in rows for note in row.notes)),
        failures={seed: why for row in reversed(rows) for seed, why in row.failures.items()},
    )
