"""What every chart of the page is: a Vega-Lite specification with its data inside, and the colours of the rows.

Every datum that belongs to a row carries its name as `row`, so that the page can hide it. Text, axes and grid take
their colours from the page's style sheet, so that they follow dark and light; marks have mid-tones that do on both. A
specification with `usermeta.row_px` is as high as it has names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from levelfield.tables.number_format import bounds
from levelfield.tables.table import TableRow

Spec = dict[str, Any]

PALETTE: Final = (
    "#3b82c4", "#d9772b", "#3a9a5f", "#c94f6d", "#8e6fc1", "#2a9d9d", "#a0764a", "#b8912b", "#5b7fde", "#cf6fa8",
    "#6f9440", "#7d8590",
)  # fmt: skip
"""Mid-tones with a contrast of at least 3 to both a white and a near-black ground; repeated beyond twelve rows."""


@dataclass(frozen=True)
class Chart:
    """`key`: the id of its place in the page. `note`: how to read it. `alt`: what it shows, in words. `wide`: over both
    columns; `dense`: too fine for a phone, where it scrolls.
    """

    key: str
    title: str
    note: str
    alt: str
    spec: Spec
    wide: bool = False
    dense: bool = False


def colours(rows: Sequence[TableRow]) -> dict[str, str]:
    """The colour of each row, by its place in its panel."""
    place: dict[str, int] = defaultdict(int)
    of = {}
    for row in rows:
        of[row.name] = PALETTE[place[row.panel] % len(PALETTE)]
        place[row.panel] += 1
    return of


def colour_scale(rows: Sequence[TableRow]) -> Spec:
    of = colours(rows)
    scale = {"domain": list(of), "range": list(of.values())}
    return {"field": "row", "type": "nominal", "scale": scale, "legend": None}


def layered(values: list[Spec], height_px: int, *layers: Spec) -> Spec:
    """Layers over the same `values`, as wide as there is room."""
    return {"data": {"values": values}, "width": "container", "height": height_px, "layer": list(layers)}


def quantity(field: str, title: str | None, zero: bool = False, pad_px: int = 0, **more: Any) -> Spec:
    scale = {"zero": zero, "nice": not pad_px, "padding": pad_px}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, **more}


def interval_of(row: TableRow) -> Spec:
    low, high = bounds(row.top1)
    return {"low": low, "high": high}
