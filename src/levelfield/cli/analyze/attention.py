"""`levelfield analyze attention`: how far the attention of each row looks."""

from __future__ import annotations

from statistics import fmean
from typing import Annotated, Any

import typer

from levelfield.cli.analyze.options import Baseline, StudyFolder, finish, show_left_out
from levelfield.cli.options import DataDir, Device, Json
from levelfield.cli.output import messages, show_table
from levelfield.cli.what_was_meant import folder_meant


def attention(
    context: typer.Context,
    study: StudyFolder,
    images: Annotated[int, typer.Option(min=1, help="So many test images, drawn by --seed.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Draws the images.")] = 0,
    baseline: Baseline = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """The mean distance that attention looks over, by layer and head, of OutGrid, ViT, DeiT, Swin and MaxViT.

    Over training, too, of runs that kept three checkpoints. Example: levelfield analyze attention runs/quickstart
    """
    from levelfield.analysis.studied_rows import studied
    from levelfield.analysis.where_it_looks.attention import attention as analyse

    folder = folder_meant(study)
    answer = analyse(
        studied(folder, baseline), images=images, seed=seed, device=device, data_dir=data_dir,
        see=lambda words: messages.print(words, highlight=False, markup=False),
    )  # fmt: skip
    if finish(context, folder, "attention", answer, json):
        _show(answer)


def _show(answer: dict[str, Any]) -> None:
    from levelfield.tables.text.attention import images_drawn, mean_heads

    lines = []
    for row in answer["rows"]:
        for layers in zip(*(run["layers"] for run in row["runs"]), strict=True):
            heads = mean_heads(layers)
            one = layers[0]
            lines.append((row["title"], one["name"], one["kind"], f"{fmean(heads):.1f}", f"{min(heads):.1f}",
                          f"{max(heads):.1f}", f"{one['uniform_px']:.1f}"))  # fmt: skip
    headings = ("mean px", "nearest head", "farthest head", "uniform")
    show_table(
        ("row", "layer", "kind", *headings),
        lines,
        headings,
        title=f"attention distance on {images_drawn(answer)} test images, means over seeds",
    )
    over = [
        (row["title"], str(run["seed"]), f"{point['epoch']:.4g}", f"{fmean(map(fmean, point['heads_px'])):.1f}")
        for row in answer["rows"] for run in row["runs"] for point in run["training"]
    ]  # fmt: skip
    if over:
        show_table(("row", "seed", "epoch", "mean px"), over, ("seed", "epoch", "mean px"),
                   title="over training, from checkpoints, mean over layers and heads")  # fmt: skip
    show_left_out(answer)
