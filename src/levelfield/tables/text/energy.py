"""What `levelfield analyze energy` says of a row, as cells."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any, Final

from levelfield.tables.lists_in_words import listed
from levelfield.tables.number_format import NONE
from levelfield.units import plain

COLUMNS: Final = (
    "row", "seeds", "kJ of a training", "J of 1,000 training images", "J a point above chance",
    "J of 1,000 images at inference", "how known",
)  # fmt: skip


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of the answer under `COLUMNS`: means over its seeds."""
    runs = row["runs"]
    known = [
        [run[key] for run in runs if run[key] is not None]
        for key in ("kilojoules", "joules_per_1000_seen", "joules_per_point")
    ]
    means = [fmean(values) if values else None for values in known]
    shown = (NONE if value is None else plain(value, 3) for value in (*means, row["joules_per_1000"]))
    return row["title"], str(len(runs)), *shown, listed(list(dict.fromkeys(run["of"] for run in runs)), 3)
