"""What the trials of searches show: the score by each knob, and the expected best by the number of trials."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.page.charts.chart import LABEL_PX, PALETTE, REST, Chart, Spec, layered, quantity
from levelfield.tables.best_of_trials import expected_of, value_in_words
from levelfield.tables.sweep import GRID, Sweep, called


def knob_charts(sweeps: Sequence[Sweep], key: str) -> list[Chart]:
    """A chart for each key that was searched over: validation top-1 of every trial by its value."""
    drawn = [sweep for sweep in sweeps if sweep.sampler != GRID]
    keys = dict.fromkeys(each for sweep in drawn for each in sweep.keys)
    return [_knob(drawn, each, f"{key}-{number}") for number, each in enumerate(keys)]


def _knob(sweeps: Sequence[Sweep], knob: str, key: str) -> Chart:
    values: list[Spec] = []
    for sweep in sweeps:
        for trial in sweep.points:
            if trial.val_top1 is not None and knob in trial.setting:
                value = trial.setting[knob]
                values.append({
                    "sweep": ", ".join(sweep.rows), "value": value, "said": value_in_words(value),
                    "top1": trial.val_top1, "state": trial.state, "chosen": trial is sweep.best,
                })  # fmt: skip
    title = called(knob)
    axes = [sweep.space.get(knob, {}) for sweep in sweeps]
    numbers = all(isinstance(value["value"], (int, float)) for value in values) and not any("choice" in a for a in axes)
    log = numbers and all("linear" not in axis for axis in axes) and all(value["value"] > 0 for value in values)
    if not numbers:
        values = [value | {"value": value["said"]} for value in values]
    axis = {"grid": False, "labelAngle": 0} | ({"format": "~g", "tickCount": 5} if numbers else {})
    x: Spec = {"field": "value", "type": "quantitative" if numbers else "nominal", "title": title, "axis": axis}
    if numbers:
        x["scale"] = {"type": "log" if log else "linear", "nice": False, "zero": False, "padding": 12}
    y = quantity("top1", "validation top-1 (%)", pad_px=10)
    colour = _colour(sweeps) | {"legend": {"title": None, "orient": "top"}}
    told = [{"field": "sweep", "title": "row"}, {"field": "said", "title": title},
            {"field": "top1", "title": "validation top-1", "format": ".2f"}, {"field": "state"}]  # fmt: skip
    spec = layered(
        values, 240,
        {"mark": {"type": "point", "filled": True, "size": 45},
         "encoding": {"x": x, "y": y, "color": colour, "tooltip": told,
                      "opacity": {"condition": {"test": "datum.state == 'pruned'", "value": 0.35}, "value": 1}}},
        {"transform": [{"filter": "datum.chosen"}],
         "mark": {"type": "point", "filled": False, "size": 160, "strokeWidth": 1.6, "opacity": 1},
         "encoding": {"x": x, "y": y, "color": colour}},
    )  # fmt: skip
    note = "A point: a trial, pale where it was pruned. Ring: the chosen one, on the validation slice."
    return Chart(key, f"Trials by {title}", note, f"Validation top-1 of the trials by {title}.", spec)


def expected_best_chart(sweeps: Sequence[Sweep], key: str) -> Chart | None:
    """The expected best of k trials by k, with its interval as far as the trials tell it."""
    values: list[Spec] = [
        {"sweep": ", ".join(sweep.rows), "k": one.k, "top1": one.estimate, "low": one.low, "high": one.high}
        for sweep in sweeps
        for one in expected_of(sweep)
    ]
    if len({value["k"] for value in values}) < 2:
        return None
    x: Spec = {"field": "k", "type": "quantitative", "title": "trials (k)",
               "scale": {"nice": False, "zero": False, "range": [12, {"expr": f"width - {LABEL_PX}"}]},
               "axis": {"grid": False, "tickMinStep": 1, "format": "d"}}  # fmt: skip
    y = quantity("top1", "expected best validation top-1 (%)", pad_px=10)
    colour = _colour(sweeps) | {"legend": None}
    told = [{"field": "sweep", "title": "row"}, {"field": "k", "title": "trials"},
            {"field": "top1", "title": "expected best", "format": ".2f"},
            {"field": "low", "format": ".2f"}, {"field": "high", "format": ".2f"}]  # fmt: skip
    last = {"joinaggregate": [{"op": "max", "field": "k", "as": "last"}], "groupby": ["sweep"]}
    spec = layered(
        values, 280,
        {"transform": [{"filter": "datum.low != null"}], "mark": {"type": "rule", "strokeWidth": 1.5, "opacity": 0.6},
         "encoding": {"x": x, "y": quantity("low", y["title"], pad_px=10), "y2": {"field": "high"}, "color": colour}},
        {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"x": x, "y": y, "color": colour}},
        {"mark": {"type": "point", "filled": True, "size": 40, "opacity": 1},
         "encoding": {"x": x, "y": y, "color": colour, "tooltip": told}},
        {"name": "label_end", "transform": [last, {"filter": "datum.k == datum.last"}],
         "mark": {"type": "text", "align": "left", "dx": 8, "fontSize": 10.5, "limit": LABEL_PX - 8},
         "encoding": {"x": x, "y": y, "color": colour, "text": {"field": "sweep"}}},
    )  # fmt: skip
    note = "The mean best of k of the trials made. Bars: 95 % intervals, up to k = n / 2: more is not told by n trials."
    alt = "The expected best validation top-1 by the number of trials, a line for each row."
    return Chart(key, "Expected best of k trials", note, alt, spec, wide=True)


def _colour(sweeps: Sequence[Sweep]) -> Spec:
    names = [", ".join(sweep.rows) for sweep in sweeps]
    palette = [PALETTE[place] if place < len(PALETTE) else REST for place in range(len(names))]
    return {"field": "sweep", "type": "nominal", "scale": {"domain": names, "range": palette}}
