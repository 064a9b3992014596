"""What every chart of the page is: a Vega-Lite specification with its data inside, and the colours of the rows.

Every datum that belongs to a row carries its name as `row`, so that the page can hide it. Text, axes and grid take
their colours from the page's style sheet, so that they follow dark and light; marks have mid-tones that do on both. A
specification with `usermeta.row_px` is as high as it has names; on a phone it is as `usermeta.narrow` has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from levelfield.tables.number_format import bounds
from levelfield.tables.table import TableRow

Spec = dict[str, Any]

PALETTE: Final = (
    "#3b82c4", "#d9772b", "#3a9a5f", "#c94f6d", "#8e6fc1", "#2a9d9d", "#a0764a", "#b8912b",
)  # fmt: skip
"""Mid-tones with a contrast of at least 3 to both a white and a near-black ground: more cannot be told apart."""
REST: Final = "#8a8f98"
"""Of what has no colour of its own: lines of reference, and rows that a crowded chart does not single out."""
LABEL_PX: Final = 118
"""Room for the names at the ends of lines."""
NAMES_ABOVE: Final[Spec] = {
    "labelAlign": "left", "labelBaseline": "middle", "labelOffset": -14, "labelPadding": 0, "labelLimit": 280,
    "zindex": 1,
}  # fmt: skip
"""An axis of names on a phone: whole, above their rows, and the chart as wide as the card."""
ROW_BELOW_NAME_PX: Final = 44
"""The height of such a row."""


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

    def on(self, panel: str) -> Chart:
        """The chart as one of several, of the test set `panel`."""
        return replace(
            self, title=f"{self.title} on {panel or 'other data'}", alt=f"On {panel or 'other data'}: {self.alt}"
        )


def colours(rows: Sequence[TableRow]) -> dict[str, str]:
    """The colour of each measured row: of its own in a panel of up to eight, else that of its group."""
    of = {row.name: REST for row in rows}
    for panel in dict.fromkeys(row.panel for row in rows):
        own = [row for row in rows if row.panel == panel and row.top1 is not None]
        kinds = [row.name for row in own] if len(own) <= len(PALETTE) else [row.runs.row.group for row in own]
        place = {kind: place for place, kind in enumerate(dict.fromkeys(kinds))}
        of |= {
            row.name: PALETTE[place[kind]] for row, kind in zip(own, kinds, strict=True) if place[kind] < len(PALETTE)
        }
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


def singled_out(rows: Sequence[TableRow]) -> tuple[frozenset[str], str]:
    """Which of `rows`, best first, a chart of lines shows in colour, and what it says of that.

    All up to eight; of more the best three, the baseline and the last two.
    """
    if len(rows) <= len(PALETTE):
        return frozenset(row.name for row in rows), ""
    chosen = [*rows[:3], *(row for row in rows if row.is_baseline), *rows[-2:]]
    note = f" In colour the best three, the baseline and the last two of {len(rows)} rows; the others are grey."
    return frozenset(row.name for row in chosen), note


def others(values: Sequence[Spec], encoding: Spec) -> list[Spec]:
    """A layer of thin grey lines for those of `values` that are not `shown` in colour; none where all are."""
    mark = {"type": "line", "strokeWidth": 1, "opacity": 0.4, "color": REST}
    grey: Spec = {"transform": [{"filter": "!datum.shown"}], "mark": mark, "encoding": encoding}
    return [] if all(value["shown"] for value in values) else [grey]


def interval_of(row: TableRow) -> Spec:
    low, high = bounds(row.top1)
    return {"low": low, "high": high}
