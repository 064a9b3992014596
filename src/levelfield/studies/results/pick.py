"""The best row of a study for a budget."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from levelfield.errors import UserError, unknown
from levelfield.tables.cost_columns import profile_command
from levelfield.tables.number_format import short

if TYPE_CHECKING:
    from levelfield.tables.table import StudyTable, TableRow

UNITS: Final = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
LIMITS: Final = {"macs": "MACs", "params": "parameters", "ms_per_batch": "ms per batch", "mem_peak_mib": "MiB"}
"""What a budget may limit, by key of a row's means."""
COUNTS: Final = ("macs", "params")
"""Limits that are given and said with units: 1.4 M."""
PROFILED: Final = ("ms_per_batch", "mem_peak_mib")
"""Limits on what `levelfield profile` measures, not a run."""


@dataclass(frozen=True)
class Pick:
    """`best`: the row with the highest mean top-1 within the budget. `ties`: rows that cannot be told apart from it.

    `left_out`: row -> why it does not count.
    """

    best: TableRow
    ties: tuple[str, ...]
    left_out: Mapping[str, str]


def parse_quantity(text: str, option: str) -> float:
    """`100M` -> 1e8, `1.5G`, `500k`, `250000`. Raises UserError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([kMG]?)\s*", text)
    if match is None or float(match[1]) <= 0:
        raise UserError(f"{option} {text!r} is no quantity; give a number with k, M or G, e.g. 100M")
    return float(match[1]) * UNITS[match[2]]


def pick(table: StudyTable, limits: Mapping[str, float], only: Sequence[str] = ("*",)) -> Pick:
    """The best measured row of `table` that keeps all `limits` (by the keys of `LIMITS`; at most that much).

    `only`: rows that match one of these patterns.

    Raises UserError where none of them was measured or none keeps the limits.
    """
    asked = [row for row in table.rows if _matches(row, only)]
    if not asked:
        raise unknown("row", ", ".join(only), [row.name for row in table.rows])
    measured = [row for row in table.measured if row in asked]
    if not measured:
        raise _nothing_finished(table, asked)
    left_out = {}
    fitting = []
    for row in measured:
        reasons = []
        for key, most in limits.items():
            value = row.means.get(key)
            if value is None:
                reasons.append(f"{LIMITS[key]} not measured")
            elif value > most:
                reasons.append(_over(key, value, most))
        if reasons:
            left_out[row.name] = "; ".join(reasons)
        else:
            fitting.append(row)
    if not fitting:
        nearest = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:2])
        unmeasured = [key for key in limits if key in PROFILED and all(key not in row.means for row in measured)]
        remedy = f"measure them first: {profile_command(table.study)}"
        raise UserError(f"no row keeps the budget ({nearest})\n{remedy if unmeasured else 'raise a limit'}")
    panels = list(dict.fromkeys(row.panel for row in fitting))
    if len(panels) > 1:
        raise UserError(f"the rows are tested on {' and '.join(panels)}, which cannot be compared\nchoose with --row")
    best = max(fitting, key=lambda row: row.top1.value if row.top1 else 0.0)
    comparison = table.panels[best.panel]
    pairs = {row.name: comparison.between(row.name, best.name) for row in fitting if row is not best}
    ties = tuple(name for name, pair in pairs.items() if pair is None or not pair.different)
    return Pick(best, ties, left_out)


def _matches(row: TableRow, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in row.runs.row.names for pattern in patterns)


def _nothing_finished(table: StudyTable, asked: Sequence[TableRow]) -> UserError:
    """That none of these rows has a finished run that counts, with what is said of their runs, and the command."""
    rows = f"study {table.study.name}" if len(asked) == len(table.rows) else ", ".join(row.name for row in asked)
    why = "; ".join(dict.fromkeys(note for row in asked for note in row.runs.row.notes if note.startswith("stale")))
    remedy = table.study.command or f"levelfield study run {table.study.source or table.study.name}"
    return UserError(f"{rows}: no finished run yet{f' ({why})' if why else ''}\n{remedy}")


def _over(key: str, value: float, most: float) -> str:
    """That `value` exceeds a limit, with the units in which limits are given; in full where those hide it."""
    say = short if key in COUNTS else "{:,.4g}".format
    said = say(value), say(most)
    one, two = said if said[0] != said[1] else (f"{value:,}", f"{most:,}")
    return f"{one} {LIMITS[key]}, over {two}"
