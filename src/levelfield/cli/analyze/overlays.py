"""`levelfield analyze overlays`: what the answer of each row rests on, image by image."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from levelfield.cli.analyze.options import Baseline, StudyFolder, finish, show_left_out
from levelfield.cli.options import DataDir, Device, Json
from levelfield.cli.output import console, messages, show_table
from levelfield.cli.what_was_meant import folder_meant
from levelfield.errors import UserError


def overlays(
    context: typer.Context,
    study: StudyFolder,
    images: Annotated[
        str | None, typer.Option(help="Test images by index, as 3,17 (default: those that rows disagree on most).")
    ] = None,
    baseline: Baseline = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Grad-CAM, and of ViT and DeiT attention rollout, over test images, by the first seed of each row.

    The study's page shows the pictures. Example: levelfield analyze overlays runs/quickstart --images 3,17
    """
    chosen = None if images is None else _indices(images)
    from levelfield.analysis.studied_rows import studied
    from levelfield.analysis.where_it_looks.overlays import overlays as analyse

    folder = folder_meant(study)
    answer = analyse(
        studied(folder, baseline), chosen, device=device, data_dir=data_dir,
        see=lambda words: messages.print(words, highlight=False, markup=False),
    )  # fmt: skip
    if finish(context, folder, "overlays", answer, json):
        _show(answer)


def _indices(images: str) -> list[int]:
    """Raises UserError for what is no list of indices."""
    words = [word.strip() for word in images.split(",")]
    wrong = next((word for word in words if not word.isdecimal()), None)
    if wrong is not None:
        raise UserError(f"--images {images}: {wrong!r} is no index of a test image\ngive indices as 3,17")
    return [int(word) for word in words]


def _show(answer: dict[str, Any]) -> None:
    for panel in answer["panels"]:
        on = f" on {panel['panel']}" if len(answer["panels"]) > 1 else ""
        rows = panel["rows"]
        lines = [
            (str(same[0]["index"]), same[0]["label"], *(image["predicted"] for image in same))
            for same in zip(*(row["images"] for row in rows), strict=True)
        ]
        headings = ("image", "label", *(row["title"] for row in rows))
        show_table(headings, lines, headings[:1], title=f"what each row takes the images for{on}, one seed a row")
        for row in rows:
            layer = row["layer"]
            places = f"{layer['height']} x {layer['width']}"
            said = f"{row['title']}, seed {row['seed']}: Grad-CAM of {layer['name']}, {places} places"
            said += "" if row["read"] is None else f"; rollout to the {row['read']}"
            console.print(said, markup=False, highlight=False)
    show_left_out(answer)
