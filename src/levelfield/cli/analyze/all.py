"""`levelfield analyze all`: every analysis that the rows of a study allow, within a time."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from levelfield.cli.analyze.options import Baseline, StudyFolder
from levelfield.cli.options import DataDir, Device, Json, finite
from levelfield.cli.output import console, messages, print_json, show_table
from levelfield.cli.what_was_meant import folder_meant


def all_of_them(
    study: StudyFolder,
    minutes: Annotated[
        float, typer.Option(min=0, callback=finite, help="Nothing more is begun after so many minutes.")
    ] = 10,
    images: Annotated[int, typer.Option(min=10, help="So many test images are corrupted.")] = 1000,
    baseline: Baseline = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Every analysis that the rows allow, cheapest first, within --minutes; what was left out is said, and why.

    What is there of the same runs is kept, and what was begun goes on. Example: levelfield analyze all runs/quickstart
    """
    from levelfield.analysis.all_analyses import Resources, all_analyses
    from levelfield.analysis.studied_rows import studied

    folder = folder_meant(study)
    until = time.monotonic() + 60 * minutes
    answer = all_analyses(
        studied(folder, baseline), Resources(until, images, device, data_dir),
        lambda name: messages.print(name, highlight=False),
    )  # fmt: skip
    if json:
        print_json("analyze all", answer)
        return
    lines = [
        (one["analysis"], "kept: it is of these runs" if one["kept"] else f"{one['seconds']:.1f} s")
        for one in answer["done"]
    ]
    lines += [(one["analysis"], f"left out: {one['why']}") for one in answer["left_out"]]
    show_table(("analysis", "what became of it"), lines)
    console.print(f"the page shows them: levelfield report {folder}", markup=False, soft_wrap=True)
