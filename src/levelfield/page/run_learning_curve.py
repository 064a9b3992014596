"""A run's learning curve as a picture in its folder."""

from __future__ import annotations

from pathlib import Path

from levelfield.runs import RunFolder, write_bytes


def write_learning_curve(folder: RunFolder) -> Path | None:
    """Write `learning_curve.png` (loss and top-1 over epochs) from metrics.jsonl; None where no epoch was finished."""
    import altair as alt
    import vl_convert

    points = [
        {"epoch": line["epoch"], "panel": panel, "series": series, "value": line[f"{split}_{measure}"]}
        for line in folder.metrics()
        if line.get("kind") == "epoch"
        for measure, panel in (("loss", "loss"), ("top1", "top-1 (%)"))
        for split, series in (("train", "train"), ("val", "validation"))
        if line.get(f"{split}_{measure}") is not None
    ]
    if not points:
        return None
    description = folder.description()["run"]
    title = f"{description['model']['name']} on {description['data']['name']}, seed {description['seed']}"
    base = alt.Chart(alt.InlineData(values=points)).mark_line(point=True).encode(
        x=alt.X("epoch:Q", title="epoch"), color=alt.Color("series:N", title=None)
    )  # fmt: skip
    panels = [
        base.transform_filter(alt.datum.panel == panel).encode(
            y=alt.Y("value:Q", title=panel, scale=alt.Scale(zero=False))
        ).properties(width=320, height=220)
        for panel in ("loss", "top-1 (%)")
    ]  # fmt: skip
    chart = alt.hconcat(*panels, title=title)
    path = folder.path / "learning_curve.png"
    write_bytes(path, vl_convert.vegalite_to_png(chart.to_json(), scale=2))
    return path
