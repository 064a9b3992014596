"""How far attention looks: what `levelfield analyze attention` found, as one figure over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Final

from levelfield.page import markup
from levelfield.page.charts.chart import Chart, Spec, colour_scale, singled_out
from levelfield.page.charts.lines_with_bands import lines_with_bands
from levelfield.page.figure import figures, save
from levelfield.page.markup import folded, line, paragraph, tag
from levelfield.page.section import Section
from levelfield.page.sections.measured_differences import left_out, of_other_runs
from levelfield.tables.table import StudyTable
from levelfield.tables.text.attention import images_drawn, mean_heads

Answer = Mapping[str, Any]
REACHES: Final = {
    "far": (("global", "grid"), "layers that reach over the whole image"),
    "near": (("outlook", "window"), "layers that see a neighbourhood"),
}
"""Kinds of layers that are drawn together over training, and what they are called."""


def attention(table: StudyTable, answer: Answer) -> Section:
    """A line a row over the depth of the network, with a band over heads, and the layers as a table."""
    layers = {row["row"]: _layers(row) for row in answer["rows"]}
    charts = [_chart(table, answer, layers), *_over_training(table, answer)]
    lines = [
        line(row["title"], layer["name"], layer["kind"], *(f"{layer[key]:.1f}" for key in ("mean", "low", "high")),
             f"{layer['uniform']:.1f}", data_of=row["row"])
        for row in answer["rows"] for layer in layers[row["row"]]
    ]  # fmt: skip
    key = "analysis-attention-table"
    columns = ("row", "layer", "kind", "mean px", "nearest head", "farthest head", "uniform attention")
    button = tag("div", save("table", key, "CSV", "Save the table of layers"), class_="save")
    note = (
        f"Mean distance between a token and what it attends to, on {images_drawn(answer)} test images, means over "
        "seeds. It describes: neither far nor near is better, and no verdict is given."
    )
    parts = [
        of_other_runs(table, answer, "attention"), paragraph(note, class_="note"), figures(charts),
        folded("Layer by layer", button + markup.table(columns, lines, "Attention distance by layer", key)),
    ]  # fmt: skip
    parts.append(left_out(answer))
    return Section("analysis-attention", "How far attention looks", "".join(parts), charts=tuple(charts))


def _layers(row: Answer) -> list[dict[str, Any]]:
    """Of a row, in order: the mean over heads and seeds in px, and of the nearest and farthest head of each seed."""
    found = []
    for layers in zip(*(run["layers"] for run in row["runs"]), strict=True):
        heads = mean_heads(layers)
        one = layers[0]
        found.append({"name": one["name"], "kind": one["kind"], "mean": fmean(heads), "low": min(heads),
                      "high": max(heads), "uniform": one["uniform_px"], "side": one["side_px"]})  # fmt: skip
    return found


def _chart(table: StudyTable, answer: Answer, layers: Mapping[str, list[dict[str, Any]]]) -> Chart:
    names, chosen = singled_out([row for row in table.measured if row.name in layers])
    values: list[Spec] = [
        {"row": row["row"], "name": row["title"], "depth": 100 * (place + 1) / len(layers[row["row"]]),
         **{key: 100 * layer[key] / layer["side"] for key in ("mean", "low", "high")}, "shown": row["row"] in names}
        for row in answer["rows"] for place, layer in enumerate(layers[row["row"]])
    ]  # fmt: skip
    spec = lines_with_bands(
        colour_scale(table.rows), values, "depth", "attention layers passed (%)", "distance (% of the image's side)"
    )
    note = "Line: mean over heads. Band: nearest to farthest head. Local and global layers may take turns." + chosen
    return Chart(
        "attention-distance", "Attention distance", note, "Attention distance by depth, by row.", spec, wide=True
    )


def _over_training(table: StudyTable, answer: Answer) -> list[Chart]:
    """A line a row from checkpoint to checkpoint, for each reach that layers have; none where no row kept several."""
    found = []
    for key, (kinds, said) in REACHES.items():
        courses = {row["row"]: course for row in answer["rows"] if (course := _course(row, kinds))}
        if courses:
            found.append(_training_chart(table, answer, courses, key, said))
    return [replace(chart, wide=len(found) == 1) for chart in found]


def _training_chart(table: StudyTable, answer: Answer, courses: Mapping[str, list[Spec]], key: str, said: str) -> Chart:
    names, chosen = singled_out([row for row in table.measured if row.name in courses])
    values: list[Spec] = [
        {"row": row["row"], "name": row["title"], **point, "shown": row["row"] in names}
        for row in answer["rows"] for point in courses.get(row["row"], ())
    ]  # fmt: skip
    spec = lines_with_bands(colour_scale(table.rows), values, "epoch", "epoch", "distance (% of the image's side)")
    note = "From checkpoints. Line: mean over heads and layers. Band: nearest to farthest layer."
    title, alt = f"Over training: {said}", f"Attention distance by epoch, by row, of {said}."
    return Chart(f"attention-training-{key}", title, note + chosen, alt, spec)


def _course(row: Answer, kinds: Sequence[str]) -> list[Spec]:
    """The mean, nearest and farthest layer of `kinds` of a row in % of the image's side, means over seeds, by epoch: at
    the steps of which all seeds kept checkpoints."""
    runs = [{point["step"]: point for point in run.get("training", ())} for run in row["runs"]]
    layers = row["runs"][0]["layers"]
    places = [place for place, layer in enumerate(layers) if layer["kind"] in kinds]
    found = []
    for step in sorted(set.intersection(*(set(points) for points in runs))) if places else ():
        means = [
            100 * fmean(fmean(points[step]["heads_px"][place]) for points in runs) / layers[place]["side_px"]
            for place in places
        ]
        found.append({"epoch": runs[0][step]["epoch"], "mean": fmean(means), "low": min(means), "high": max(means)})
    return found
