"""Forest plots: how far each row is from the baseline, and what each step of a study does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from levelfield.page.charts.chart import NAMES_ABOVE, REST, ROW_BELOW_NAME_PX, Chart, Spec, layered
from levelfield.page.verdict_marks import MARKS
from levelfield.statistics import Comparison, Difference, Verdict, verdict
from levelfield.tables.number_format import signed
from levelfield.tables.table import TableRow
from levelfield.tables.verdicts_in_words import verdict_words

REACH: Final = 3.0
"""How far the chart reaches, in multiples of the largest difference or of the margin, where intervals reach farther."""

WHOLE: Final[Spec] = {**NAMES_ABOVE, "labelLimit": 560}
"""Names of steps, which are sentences, above their lines."""

LINE: Final = 46
"""Letters of a name that a phone has room for; a longer one takes two lines there, ..."""
_BREAK: Final = f"lastindexof(slice(datum.label, 0, {LINE}), ' ')"
TWO_LINES: Final[Spec] = {
    **NAMES_ABOVE, "labelOffset": -22, "labelLimit": 340,
    "labelExpr": f"length(datum.label) <= {LINE} ? datum.label"
    f" : [slice(datum.label, 0, {_BREAK}), slice(datum.label, {_BREAK} + 1)]",
}  # fmt: skip
ROW_BELOW_TWO_LINES_PX: Final = 58
"""... with rows as high as this."""

NARROW: Final = "width < 260"
"""Where there is room for the sign of a verdict only, in Vega's words."""


def forest(rows: Sequence[TableRow], comparison: Comparison, key: str) -> Chart | None:
    """Differences to the baseline in the order of the ranks, with their intervals and the region of equivalence."""
    base = next((row for row in rows if row.is_baseline), None)
    values = [_datum(row, place) for place, row in enumerate(rows)]
    if base is None or len(values) < 2:
        return None
    told = [value for value in values if value["row"] != base.name]
    title = f"Differences to {base.title}"
    return _chart(values, told, comparison.margin, key, title, f"the differences to {base.title}")


def forest_of_steps(
    rows: Sequence[TableRow], comparison: Comparison, key: str, steps: Sequence[tuple[str, str, str]]
) -> Chart | None:
    """What each of the study's `steps` (its name, the row before it, the row after it) does, in their order."""
    line = {name: row for row in rows for name in row.runs.row.names}
    values = [
        _of_pair(
            comparison.between(line[after].name, line[before].name),
            {"row": line[after].name, "name": name, "order": place},
        )
        for place, (name, before, after) in enumerate(steps)
        if before in line and after in line
    ]
    if not values:
        return None
    title = "What each step does"
    return _chart(values, values, comparison.margin, key, title, "what each step does", sentences=True)


def _chart(
    values: list[Spec], told: Sequence[Spec], margin: float, key: str, title: str, of: str, sentences: bool = False
) -> Chart:
    """The plot of `values`; its words tell of `told`. Names that are `sentences` stand above their lines."""
    reach, cut = _reach(values, margin)
    region = {"low": -margin, "high": margin}
    x = {"field": "difference", "type": "quantitative", "title": "points of top-1",
         "scale": {"domain": [-reach, reach], "nice": False,
                   "range": [0, {"expr": f"width - ({NARROW} ? 22 : 88)"}]},
         "axis": {"format": "+.3~g", "tickCount": {"expr": f"{NARROW} ? 4 : 9"}}}  # fmt: skip
    y = {"field": "name", "type": "nominal", "title": None, "sort": {"field": "order", "op": "min"},
         "axis": {"grid": False, "labelLimit": 190, "ticks": False, "domain": False,
                  **(WHOLE if sentences else {})}}  # fmt: skip
    colour = {"field": "verdict", "type": "nominal", "legend": None,
              "scale": {"domain": [*MARKS, "baseline"],
                        "range": [*(mark.colour for mark in MARKS.values()), REST]}}  # fmt: skip
    whole = {"y": {"value": 0}, "y2": {"value": "height"}}
    spec = layered(
        values, 0,
        {"data": {"values": [region]}, "mark": {"type": "rect", "opacity": 0.13, "color": "#3b82c4"},
         "encoding": {"x": x | {"field": "low"}, "x2": {"field": "high"}, **whole}},
        {"data": {"values": [{"difference": 0}]}, "mark": {"type": "rule", "color": REST},
         "encoding": {"x": x, **whole}},
        _bar(x, y, colour, "widest_low", "widest_high", 1.5, 0.55, reach),
        _bar(x, y, colour, "low", "high", 5, 0.75, reach),
        {"mark": {"type": "point", "filled": True, "size": 75, "opacity": 1, "clip": True},
         "encoding": {"x": x, "y": y, "color": colour, "tooltip": [
             {"field": "name", "title": "row"}, {"field": "difference", "format": "+.2f"},
             {"field": "low", "format": "+.2f"}, {"field": "high", "format": "+.2f"},
             {"field": "widest_low", "title": "simultaneous low", "format": "+.2f"},
             {"field": "widest_high", "title": "simultaneous high", "format": "+.2f"},
             {"field": "elsewhere_low", "title": "on other images, low", "format": "+.2f"},
             {"field": "elsewhere_high", "title": "on other images, high", "format": "+.2f"}, {"field": "said"}]}},
        {"name": "label_verdict",
         "transform": [{"calculate": f"{NARROW} ? split(datum.short, ' ')[0] : datum.short", "as": "label"}],
         "mark": {"type": "text", "align": "right", "dx": -2, "fontSize": 11},
         "encoding": {"x": {"value": "width"}, "y": y, "text": {"field": "label"}, "color": colour}},
    )  # fmt: skip
    del spec["height"]
    broken = max(len(value["name"]) for value in values) > LINE
    above, narrow_px = (TWO_LINES, ROW_BELOW_TWO_LINES_PX) if broken else (NAMES_ABOVE, ROW_BELOW_NAME_PX)
    named = [{"encoding": {"y": {"axis": above}}} if layer["encoding"]["y"] is y else {} for layer in spec["layer"]]
    row_px = ROW_BELOW_NAME_PX if sentences else 30
    spec["usermeta"] = {"row_px": row_px, "narrow": {"layer": named, "usermeta": {"row_px": narrow_px}}}
    note = (
        "Dot: difference of the means. Thick bar: the interval that decides: it excludes zero exactly where rows are "
        "decided to be different. Thin bar: simultaneous 95 % interval. Shaded: the region of equivalence, "
        f"±{margin:g} points."
    )
    note += " Intervals that leave the chart are cut at its edge." if cut else ""
    alt = f"Forest plot of {of}: " + "; ".join(
        f"{value['name']} {signed(value['difference'])}, {value['said']}" for value in told
    )
    return Chart(key, title, note, alt, spec, wide=True)


def _datum(row: TableRow, place: int) -> Spec:
    base: Spec = {"row": row.name, "name": row.title, "order": place}
    if row.is_baseline:
        return {**base, "difference": 0.0, "verdict": "baseline", "said": "baseline", "short": "○ baseline"}
    return _of_pair(row.to_baseline, base)


def _of_pair(pair: Difference | None, base: Spec) -> Spec:
    """What a line shows of the difference that `base` names."""
    if pair is None or pair.estimate is None:
        said: Verdict = "too few seeds"
        return {**base, "difference": None, "verdict": said, "said": said, "short": f"{MARKS[said].sign} {said}"}
    word, elsewhere = verdict(pair), pair.elsewhere
    ends = {"low": pair.low, "high": pair.high, "widest_low": pair.widest_low, "widest_high": pair.widest_high}
    if elsewhere is not None:
        ends |= {"elsewhere_low": elsewhere.low, "elsewhere_high": elsewhere.high}
    possible = {name: end if end is None else min(max(end, -100.0), 100.0) for name, end in ends.items()}
    return {
        **base, **possible, "difference": pair.estimate, "verdict": word, "said": verdict_words(pair),
        "short": f"{MARKS[word].sign} {word}",
    }  # fmt: skip


def _bar(x: Spec, y: Spec, colour: Spec, low: str, high: str, thick_px: float, opacity: float, reach: float) -> Spec:
    """Intervals, cut where the axis ends: beside it stand the verdicts."""
    ends = [
        {"calculate": f"clamp(datum.{end}, {-reach:.6g}, {reach:.6g})", "as": f"{end}_drawn"} for end in (low, high)
    ]
    return {
        "transform": [{"filter": f"isValid(datum.{low})"}, *ends],
        "mark": {"type": "rule", "strokeWidth": thick_px, "strokeCap": "round", "opacity": opacity, "clip": True},
        "encoding": {"x": x | {"field": f"{low}_drawn"}, "x2": {"field": f"{high}_drawn"}, "y": y, "color": colour},
    }


def _reach(values: Sequence[Spec], margin: float) -> tuple[float, bool]:
    """How far the axis goes from zero, in points, and whether an interval goes farther."""
    largest = max(margin, *(abs(value["difference"] or 0.0) for value in values))
    ends = [abs(value[end]) for value in values for end in ("widest_low", "widest_high") if value.get(end) is not None]
    farthest = max([largest, *ends])
    reach = 1.08 * min(farthest, REACH * largest)
    return reach, farthest > reach
