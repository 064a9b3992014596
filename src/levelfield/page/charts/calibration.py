"""Whether confidence is to be believed: the reliability diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from levelfield.page.charts.chart import LABEL_PX, REST, Chart, Spec, layered, others, singled_out
from levelfield.tables.prediction_analysis import Predicted
from levelfield.tables.table import TableRow


def calibration(
    colour: Spec, measured: Sequence[TableRow], predicted: Mapping[str, Predicted], key: str
) -> Chart | None:
    """Reliability: share that is right against mean confidence, in bins of confidence with at least ten images."""
    names, chosen = singled_out([row for row in measured if row.name in predicted])
    values = [
        {"row": row.name, "name": row.title, "confidence": 100 * b.confidence, "accuracy": 100 * b.accuracy,
         "images": b.count, "shown": row.name in names}
        for row in measured
        if row.name in predicted
        for b in predicted[row.name].scores.calibration.bins
        if b.count >= 10 and b.accuracy is not None and b.confidence is not None
    ]  # fmt: skip
    if not values:
        return None
    x = {"field": "confidence", "type": "quantitative", "title": "confidence (%)", "axis": {"grid": False},
         "scale": {"domain": [0, 100], "range": [0, {"expr": f"width - {LABEL_PX}"}]}}  # fmt: skip
    y = {"field": "accuracy", "type": "quantitative", "title": "right (%)", "scale": {"domain": [0, 100]}}
    told = [{"field": "name", "title": "row"}, {"field": "confidence", "format": ".1f"},
            {"field": "accuracy", "title": "right", "format": ".1f"}, {"field": "images"}]  # fmt: skip
    spec = layered(
        values, 280,
        {"data": {"values": [{"confidence": 0, "accuracy": 0}, {"confidence": 100, "accuracy": 100}]},
         "mark": {"type": "line", "strokeDash": [4, 3], "strokeWidth": 1.2, "color": REST},
         "encoding": {"x": x, "y": y}},
        *others(values, {"x": x, "y": y, "detail": {"field": "row"}, "tooltip": told}),
        {"transform": [{"filter": "datum.shown"}], "mark": {"type": "line", "strokeWidth": 2, "point": {"size": 36}},
         "encoding": {"x": x, "y": y, "color": colour, "detail": {"field": "row"}, "tooltip": told}},
        {"name": "label_end",
         "transform": [{"filter": "datum.shown"},
                       {"joinaggregate": [{"op": "max", "field": "confidence", "as": "last"}], "groupby": ["row"]},
                       {"filter": "datum.confidence == datum.last"}],
         "mark": {"type": "text", "align": "left", "dx": 7, "fontSize": 10.5, "limit": LABEL_PX - 8},
         "encoding": {"x": x, "y": y, "color": colour, "text": {"field": "name"}}},
    )  # fmt: skip
    note = "Below the dashed diagonal a row is over-confident, above it under-confident. Bins with at least 10 images."
    note += chosen
    return Chart(key, "Calibration", note, "Reliability diagram: share right against confidence by row.", spec)
