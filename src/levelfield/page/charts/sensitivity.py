"""How sensitive rows are to their learning rate: what their sweeps found."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.page.charts.chart import LABEL_PX, PALETTE, REST, Chart, Spec, layered, quantity
from levelfield.tables.sweep import LR, WEIGHT_DECAY, Sweep


def sensitivity(sweeps: Sequence[Sweep], key: str) -> Chart | None:
    """Validation top-1 by learning rate, a line for each sweep at the best of its weight decays at each rate."""
    values: list[Spec] = []
    for sweep in sweeps:
        best: dict[float, tuple[float, float]] = {}
        for trial in sweep.points:
            rate, decay, score = trial.setting[LR], trial.setting[WEIGHT_DECAY], trial.val_top1
            if score is not None and (rate not in best or score > best[rate][0]):
                best[rate] = (score, decay)
        name = ", ".join(sweep.rows)
        values += [
            {"sweep": name, "rate": rate, "top1": score, "decay": decay,
             "chosen": sweep.best is not None and sweep.best.setting[LR] == rate}
            for rate, (score, decay) in sorted(best.items())
        ]  # fmt: skip
    if len({value["rate"] for value in values}) < 2:
        return None
    names = list(dict.fromkeys(value["sweep"] for value in values))
    palette = [PALETTE[place] if place < len(PALETTE) else REST for place in range(len(names))]
    colour = {"field": "sweep", "type": "nominal", "legend": None, "scale": {"domain": names, "range": palette}}
    x = {"field": "rate", "type": "quantitative", "title": "learning rate",
         "scale": {"type": "log", "nice": False, "range": [0, {"expr": f"width - {LABEL_PX}"}]},
         "axis": {"grid": False, "format": "~g", "tickCount": 5}}  # fmt: skip
    y = quantity("top1", "validation top-1 (%)", pad_px=10)
    told = [{"field": "sweep", "title": "row"}, {"field": "rate", "title": "learning rate"},
            {"field": "decay", "title": "weight decay"}, {"field": "top1", "format": ".2f"}]  # fmt: skip
    spec = layered(
        values, 260,
        {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"x": x, "y": y, "color": colour}},
        {"mark": {"type": "point", "filled": True, "size": 40, "opacity": 1},
         "encoding": {"x": x, "y": y, "color": colour, "tooltip": told}},
        {"transform": [{"filter": "datum.chosen"}],
         "mark": {"type": "point", "filled": False, "size": 150, "strokeWidth": 1.6, "opacity": 1},
         "encoding": {"x": x, "y": y, "color": colour}},
        {"name": "label_end",
         "transform": [{"joinaggregate": [{"op": "max", "field": "rate", "as": "last"}], "groupby": ["sweep"]},
                       {"filter": "datum.rate == datum.last"}],
         "mark": {"type": "text", "align": "left", "dx": 8, "fontSize": 10.5, "limit": LABEL_PX - 8},
         "encoding": {"x": x, "y": y, "color": colour, "text": {"field": "sweep"}}},
    )  # fmt: skip
    note = "Line: the best weight decay at each rate. Ring: what was chosen, on the validation slice."
    alt = f"Validation top-1 by learning rate of {len(names)} sweeps."
    return Chart(key, "Learning rates", note, alt, spec, wide=True)
