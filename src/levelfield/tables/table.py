"""The table of a study as a value: one line per row, with what was measured, compared and published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from levelfield.statistics import AgainstPublished, Comparison, Difference, Estimate, Rank, verdict
from levelfield.tables.audit import AuditReport
from levelfield.tables.outcomes import failed_seeds
from levelfield.tables.rows import StudyRows
from levelfield.tables.runs_of_row import RowRuns


@dataclass(frozen=True)
class TableRow:
    """One line. `top1`: mean over seeds in percent with its interval; None for a row without a finished run.

    `panel`: the test set that it shares with the rows it is compared with. `sample`: the interval over the test sample
    at that mean. `to_baseline`: None for the baseline itself. `means`: by key of `build.AVERAGED`, where measured, and
    the costs of its network (`cost_columns.MEASURED`), where they were profiled.
    """

    runs: RowRuns
    panel: str
    top1: Estimate | None
    sd: float | None
    sample: Estimate | None
    is_baseline: bool
    to_baseline: Difference | None
    rank: Rank | None
    means: Mapping[str, float]
    published: AgainstPublished | None

    @property
    def name(self) -> str:
        return self.runs.row.name

    @property
    def title(self) -> str:
        return self.runs.row.title

    @property
    def state(self) -> str:
        """In a word or two: "measured", "failed", "not finished", "could not begin" or "not run"; `text.footnotes` says
        why."""
        if self.runs.finished:
            return "measured"
        if self.failed:
            return "failed"
        if self.runs.unfinished:
            return "not finished"
        return "could not begin" if self.runs.row.failures else "not run"

    @property
    def n(self) -> int:
        return len(self.runs.finished)

    @cached_property
    def failed(self) -> int:
        """Seeds that failed or diverged, beside the `n` that came through."""
        return len(failed_seeds(self.runs))


@dataclass(frozen=True)
class StudyTable:
    """All rows in the order of the study, the comparison of each panel, and the fairness audit.

    `costs`: in words, what the time and memory of the rows' networks rest on.
    """

    study: StudyRows
    rows: tuple[TableRow, ...]
    panels: Mapping[str, Comparison]
    audit: AuditReport
    costs: str = ""

    @property
    def measured(self) -> list[TableRow]:
        """Rows with a result, best first within each panel."""
        order = {panel: i for i, panel in enumerate(self.panels)}
        return sorted(
            (row for row in self.rows if row.top1 is not None),
            key=lambda row: (order[row.panel], -row.top1.value if row.top1 else 0.0),
        )

    @property
    def decided_panels(self) -> list[str]:
        """The panels where something was decided: a difference, or that there is none that matters."""
        return [
            panel
            for panel, comparison in self.panels.items()
            if any(verdict(pair) in ("better", "worse", "equivalent") for pair in comparison.pairs)
        ]

    @property
    def by_panel(self) -> list[TableRow]:
        """Every row in the order of the study, of several panels those of one together."""
        if len(self.panels) < 2:
            return list(self.rows)
        places = {panel: place for place, panel in enumerate(self.panels)}
        return sorted(self.rows, key=lambda row: places.get(row.panel, len(places)))

    @property
    def ranked(self) -> list[TableRow]:
        """Every row: of each panel those with a result, best first, then the others in the order of the study."""
        measured = self.measured
        return [
            row
            for panel in dict.fromkeys([*self.panels, *(row.panel for row in self.rows)])
            for row in (*measured, *(row for row in self.rows if row.top1 is None))
            if row.panel == panel
        ]
