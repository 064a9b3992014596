"""`levelfield predict`: what finished runs say of images of one's own."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from levelfield.cli.check_names import check_device
from levelfield.cli.options import Device, Json
from levelfield.cli.output import console, messages, print_json, show_table
from levelfield.cli.what_was_meant import run_meant

if TYPE_CHECKING:
    from levelfield.training.predict_images import ImagePredictions

SOME_BAD: Final = 3
"""The exit code where images could not be read, and the others were predicted."""

SHOWN: Final = 20
"""Images that a terminal shows."""


def predict(
    run: Annotated[Path, typer.Argument(help="A run folder that `levelfield train` or a study wrote.")],
    images: Annotated[
        list[str], typer.Argument(help="Files, folders, patterns, a .csv file with a column of paths, or - for stdin.")
    ],
    also: Annotated[
        list[Path] | None, typer.Option("--with", help="Another run of the same classes: their mean. May be repeated.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes an image.")] = 5,
    batch: Annotated[int, typer.Option(min=1, help="Images a batch.")] = 64,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write a line an image to this file.")] = None,
    device: Device = "auto",
    deploy: Annotated[
        bool, typer.Option("--deploy", help="Predict by the networks' deployed forms, which are faster.")
    ] = False,
    json: Json = False,
) -> None:
    """Predict the classes of images, decoded and prepared as the run's test images were.

    Images that cannot be read are named and left out; the exit code is then 3. Probabilities are calibrated where
    `levelfield eval RUN --calibrate` has fitted a temperature. Example: `levelfield predict runs/first photos/`
    """
    check_device(device)
    folders = [run_meant(path) for path in (run, *(also or ()))]

    from levelfield.data.loading.image_files import image_files

    named = image_files(images, sys.stdin)

    from levelfield.progress import on_stderr
    from levelfield.training import load_run
    from levelfield.training.predict_images import predict as predicted

    runs = [load_run(folder) for folder in folders]
    begin = time.perf_counter()
    with on_stderr() as progress:
        found = predicted(runs, named, batch_size=batch, device=device, progress=progress, deploy=deploy)
    seconds = time.perf_counter() - begin
    if csv_file is not None:
        _write(csv_file, found, top)
    if json:
        print_json("predict", _answer(found, folders, top, seconds))
    elif csv_file is None:
        _show(found, top)
    for name, why in found.bad:
        messages.print(f"left out: {name}: {why}", style="yellow", markup=False)
    if csv_file is not None:
        messages.print(f"{csv_file} holds {len(found.names):,} images, {len(found.names) / seconds:.0f} a second")
    if found.bad:
        raise typer.Exit(SOME_BAD)


def _answer(found: ImagePredictions, folders: list[Path], top: int, seconds: float) -> dict[str, Any]:
    images = [
        {"image": name, "top": [{"class": label, "probability": share} for label, share in likeliest]}
        for name, likeliest in zip(found.names, found.top(top), strict=True)
    ]
    return {
        "runs": [str(folder) for folder in folders],
        "temperatures": list(found.temperatures),
        "classes": list(found.classes),
        "images": images,
        "bad": [{"image": name, "reason": why} for name, why in found.bad],
        "logits_off": [account.logits_off for account in found.deployed],
        "images_per_s": len(found.names) / seconds,
    }


def _write(path: Path, found: ImagePredictions, top: int) -> None:
    """A line an image: its path, then class and probability of the likeliest, the next, ... as asked for."""
    from levelfield.data.cache_folder import replacing

    count = min(top, len(found.classes))
    heading = ["image", *(f"{what}_{place}" for place in range(1, count + 1) for what in ("class", "probability"))]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(heading)
        for name, likeliest in zip(found.names, found.top(count), strict=True):
            lines.writerow([name, *(value for label, share in likeliest for value in (label, f"{share:.6f}"))])


def _show(found: ImagePredictions, top: int) -> None:
    shown = len(found.names) if console.wide else min(SHOWN, len(found.names))
    count = min(top, len(found.classes))
    headings = ["image", *(str(place) for place in range(1, count + 1))]
    rows = [
        [name, *(f"{label} {100 * share:.1f} %" for label, share in likeliest)]
        for name, likeliest in zip(found.names[:shown], found.top(count)[:shown], strict=True)
    ]
    if rows:
        show_table(headings, rows)
    if shown < len(found.names):
        messages.print(f"and {len(found.names) - shown:,} more: --csv FILE writes all, --json prints all")
