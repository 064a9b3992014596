"""What the parts of a factorial study do, alone and together, from its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from levelfield.statistics.factorial import Cell, Effect, factorial_effects
from levelfield.tables.number_format import NONE, p_value, signed
from levelfield.tables.table import StudyTable, TableRow

COLUMNS: Final = ("what", "points of top-1", "interval", "adjusted p", "verdict")
BASIS: Final = (
    "A part's effect: mean top-1 with it (at its own value) less without it (at the other), over all positions of the "
    "other parts. An interaction (a x b): the effect of a where b is in, less where it is not. Each is a contrast of "
    "the rows' means, tested by Welch's t with Satterthwaite's degrees of freedom; intervals at the level that Holm's "
    "procedure over all effects leaves."
)


@dataclass(frozen=True)
class Effects:
    """The effects on one test set (`panel`); none, with `why`, where rows or runs are missing."""

    panel: str
    effects: tuple[Effect, ...] = ()
    why: str = ""

    def lines(self) -> list[tuple[str, ...]]:
        """The effects as cells under `COLUMNS`."""
        return [_line(effect) for effect in self.effects]


def effects_of(table: StudyTable) -> list[Effects]:
    """The effects of the study's `factors` on each test set of its rows; none where it declares none."""
    if not table.study.factors:
        return []
    panels = dict.fromkeys(row.panel for row in table.measured)
    return [_on(panel, table) for panel in panels] or [Effects("", why="no row was measured")]


def _on(panel: str, table: StudyTable) -> Effects:
    lines = {name: row for row in table.rows if row.panel == panel for name in row.runs.row.names}
    parts = list(table.study.factors)
    cells = _cells(table.study.factors)
    if lost := [name for name in cells.values() if name not in lines or lines[name].n < 2]:
        few = ", ".join(lost[:3]) + (" ..." if len(lost) > 3 else "")
        return Effects(panel, why=f"{len(lost)} of {len(cells)} rows have fewer than two finished runs ({few})")
    return Effects(panel, factorial_effects(parts, {cell: _scores(lines[name]) for cell, name in cells.items()}))


def _cells(factors: Mapping[str, Mapping[str, tuple[str, ...]]]) -> dict[Cell, str]:
    """The row of each cell. A part's first position is that in which it is there."""
    own = {part: set(next(iter(positions.values()))) for part, positions in factors.items()}
    names = [name for rows in next(iter(factors.values())).values() for name in rows]
    return {tuple(name in own[part] for part in factors): name for name in names}


def _scores(row: TableRow) -> list[float]:
    return [float(run.result["top1"]) for run in row.runs.finished]


def _line(effect: Effect) -> tuple[str, ...]:
    name = " x ".join(effect.parts)
    if effect.low is None or effect.high is None:
        return name, signed(effect.estimate), NONE, NONE, "no spread seen"
    said = "undecided" if not effect.decided else "helps" if effect.estimate > 0 else "hurts"
    if effect.decided and len(effect.parts) > 1:
        said = "more together" if effect.estimate > 0 else "less together"
    return (
        name,
        signed(effect.estimate),
        f"[{signed(effect.low)}, {signed(effect.high)}]",
        p_value(effect.p_adjusted),
        said,
    )
