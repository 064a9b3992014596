"""What a table is made of: rows (the runs of one setting over seeds) and the published figures beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from levelfield.runs import RunFolder
from levelfield.spec import VARIES, RunSpec


@dataclass(frozen=True)
class Published:
    """What an author printed for a row.

    `values`: by the keys of result.json (`top1` in percent, `params`, `macs`, ...). `data` and `num_classes`: what it
    was measured on; a row on anything else is "not comparable". `notes`: what a reader must know of the figure.
    """

    values: Mapping[str, float]
    data: str | None = None
    num_classes: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One row: its name (unique in the table), label, group, the runs that exist and the runs that were declared.

    `declared`: the RunSpecs that the row asks for (one is enough where they differ only in the seed), so that a row
    without any run is still listed and audited; empty: the specs of the runs stand for them. `predictions`: files of
    somebody else's predictions, counted as one run each. `facts`: what is known of how such a row came about and no
    RunSpec says, by the keys of `levelfield.report.audit` (`selected_on: test`, ...). `failures`: by seed, why there is
    no result of it.
    """

    name: str
    label: str = ""
    group: str = ""
    runs: tuple[RunFolder, ...] = ()
    declared: tuple[RunSpec, ...] = ()
    published: Published | None = None
    predictions: tuple[Path, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return self.label or self.name


@dataclass(frozen=True)
class StudyRows:
    """A study as a report needs it: name, question, rows, and its baseline row (None: the first with a result).

    `scale`: "" or "full" for the study as published; any other is reduced, and published values are not compared.
    `varies`: the keys of a run that its question is about (`levelfield.spec.varies`). `command` reproduces the study,
    `path` is its folder; both may be absent.
    """

    name: str
    rows: tuple[Row, ...]
    question: str = ""
    answer: str = ""
    description: str = ""
    scale: str = ""
    baseline: str | None = None
    varies: tuple[str, ...] = VARIES
    notes: tuple[str, ...] = ()
    command: str = ""
    path: Path | None = None
