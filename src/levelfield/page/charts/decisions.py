"""What was decided between every two rows: the matrix of decisions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from levelfield.page.charts.chart import NAMES_ABOVE, ROW_BELOW_NAME_PX, Chart, Spec
from levelfield.page.verdict_marks import MARKS
from levelfield.statistics import Comparison, verdict
from levelfield.tables.number_format import difference_interval, signed
from levelfield.tables.table import TableRow
from levelfield.tables.verdicts_in_words import verdict_words

NUMBERS_UP_TO: Final = 10
"""Rows up to which a cell has room for the difference beside the sign."""


def decisions(rows: Sequence[TableRow], comparison: Comparison, key: str) -> Chart | None:
    """For every two rows whether that of the line is better than that of the column; in the order of the ranks."""
    if len(rows) < 3:
        return None
    x = {"field": "other", "type": "nominal", "title": None, "sort": [row.title for row in rows],
         "axis": {"orient": "top", "labelAngle": -40, "labelLimit": 150, "ticks": False, "domain": False}}  # fmt: skip
    y = {"field": "name", "type": "nominal", "title": None, "sort": {"field": "order", "op": "min"},
         "axis": {"labelLimit": 190, "ticks": False, "domain": False}}  # fmt: skip
    colour = {"field": "verdict", "type": "nominal", "legend": None,
              "scale": {"domain": list(MARKS), "range": [mark.colour for mark in MARKS.values()]}}  # fmt: skip
    told = [{"field": "name", "title": "row"}, {"field": "other", "title": "beside"}, {"field": "said"}]
    spec: Spec = {
        "data": {"values": _values(rows, comparison)}, "width": "container",
        "usermeta": {"row_px": 26, "narrow": _narrow([row.title for row in rows])},
        "encoding": {"x": x, "y": y},
        "layer": [
            {"mark": {"type": "rect"},
             "encoding": {"color": colour, "opacity": _decided(0.28, 0.1), "tooltip": told}},
            {"name": "label_cell", "mark": {"type": "text", "fontSize": 11},
             "encoding": {"text": {"field": "shown"}, "opacity": _decided(1, 0.75)}},
        ],
    }  # fmt: skip
    found = [verdict(pair) for pair in comparison.pairs]
    counts = {
        "decided to be different": found.count("better") + found.count("worse"),
        "equivalent": found.count("equivalent"),
        "undecided": found.count("undecided") + found.count("too few seeds"),
    }
    said = ", ".join(f"{count} {word}" for word, count in counts.items())
    signs = ", ".join(f"{mark.sign} {word}" for word, mark in MARKS.items())
    note = f"Is the row at the left better than the one above? {signs}. Of {len(found)} pairs {said}."
    note += " On a phone the columns have the rows' numbers."
    alt = f"Matrix of the decisions between every two rows: {said}."
    return Chart(key, "Every pair", note, alt, spec, wide=True)


def _narrow(titles: Sequence[str]) -> Spec:
    """On a phone: the names whole above the cells, columns by the rows' numbers, of a decision its sign alone."""
    number = f"indexof({json.dumps(titles)}, datum.value) + 1"
    x = {"axis": {"labelAngle": 0, "labelExpr": number, "labelOverlap": "greedy", "labelSeparation": 2}}
    y = {"axis": {**NAMES_ABOVE, "labelExpr": f"{number} + '  ' + datum.value"}}
    sign = {
        "transform": [{"calculate": "split(datum.shown, ' ')[0]", "as": "sign"}],
        "mark": {"dy": 8}, "encoding": {"text": {"field": "sign"}},
    }  # fmt: skip
    return {"encoding": {"x": x, "y": y}, "layer": [{}, sign], "usermeta": {"row_px": ROW_BELOW_NAME_PX}}


def _values(rows: Sequence[TableRow], comparison: Comparison) -> list[Spec]:
    values = []
    for place, row in enumerate(rows):
        for other in rows:
            pair = comparison.between(row.name, other.name)
            if pair is None:
                continue
            word = verdict(pair)
            number = len(rows) <= NUMBERS_UP_TO and pair.estimate is not None
            values.append({
                "row": row.name, "name": row.title, "order": place, "other": other.title, "verdict": word,
                "difference": pair.estimate, "low": pair.low, "high": pair.high,
                "shown": MARKS[word].sign + (f" {signed(pair.estimate, 1)}" if number else ""),
                "said": f"{signed(pair.estimate)} {difference_interval(pair)}: {verdict_words(pair)}",
            })  # fmt: skip
    return values


def _decided(opacity: float, else_: float) -> Spec:
    """The opacity of a decided pair, and of one that is not."""
    undecided = "datum.verdict == 'undecided' || datum.verdict == 'too few seeds'"
    return {"condition": {"test": undecided, "value": else_}, "value": opacity}
