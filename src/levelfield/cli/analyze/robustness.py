"""`levelfield analyze robustness`: accuracy on corrupted images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from levelfield.cli.analyze.options import Baseline, StudyFolder, finish, show_differences, show_left_out
from levelfield.cli.options import DataDir, Device, Json
from levelfield.cli.output import console, show_table
from levelfield.cli.what_was_meant import folder_meant


def robustness(
    context: typer.Context,
    study: StudyFolder,
    images: Annotated[int | None, typer.Option(min=10, help="So many test images, drawn by --seed (all).")] = None,
    folder: Annotated[
        list[Path] | None, typer.Option(help="A folder of CIFAR-10.1, CIFAR-10-C or CIFAR-100-C. Repeatable.")
    ] = None,
    frost: Annotated[
        Path | None, typer.Option(help="Folder of the photographs frost1.png to frost5.jpg (else no frost).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the images, and the noise.")] = 0,
    baseline: Baseline = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Top-1 under the corruptions of Hendrycks and Dietterich at five severities, made here of the test images.

    The 15 (frost needs photographs: --frost) and the 4 extra ones; what a run scored is kept, and an interrupted
    analysis goes on. Example: levelfield analyze robustness runs/quickstart --images 500
    """
    from levelfield.analysis.robustness import robustness as analyse
    from levelfield.analysis.studied_rows import studied
    from levelfield.progress import Progress

    place = folder_meant(study)
    found = studied(place, baseline)
    with Progress() as progress:
        at: int | None = None

        def see(what: str, done: int, total: int) -> None:
            nonlocal at
            if at is None:
                progress.start(total, "corruptions")
            progress.advance(done - (at or 0), corruption=what)
            at = done

        answer = analyse(
            found, images=images, seed=seed, device=device, data_dir=data_dir, folders=folder or (), frost=frost,
            see=see,
        )  # fmt: skip
    if finish(context, place, "robustness", answer, json):
        _show(answer)


def _show(answer: dict[str, Any]) -> None:
    from levelfield.analysis.calibration import mean_of
    from levelfield.tables.number_format import percent
    from levelfield.tables.text.robustness import corrupted_images, sizes_without_parameters, titles_with_size

    title = titles_with_size(answer)
    keys = ("top1", "corrupted", "noise", "blur", "weather", "digital", "extra", "mce", "relative_mce")
    rows = [(title[row["row"]], str(len(row["runs"])), *(percent(mean_of(row["runs"], key)) for key in keys))
            for row in answer["rows"]]  # fmt: skip
    headings = (
        "seeds",
        "clean",
        "corrupted",
        "noise",
        "blur",
        "weather",
        "digital",
        "extra 4",
        "mCE %",
        "relative mCE %",
    )
    of = f"top-1 % of {corrupted_images(answer)} test images"
    show_table(("row", *headings), rows, headings, title=f"{of}, means over seeds, corruptions, severities")
    for name in dict.fromkeys(name for row in answer["rows"] for run in row["runs"] for name in run["sets"]):
        for row in answer["rows"]:
            known = [sum(run["sets"][name]) / len(run["sets"][name]) for run in row["runs"] if name in run["sets"]]
            if known:
                console.print(f"{name}: {row['title']} {percent(sum(known) / len(known))}", markup=False)
    show_left_out(answer)
    if sizes := sizes_without_parameters(answer):
        console.print(sizes)
    left_out = "" if answer["frost_sha256"] else "frost is left out: it needs photographs (--frost); "
    count = len(answer["corruptions"]["common"])
    console.print(f"{left_out}mCE is over {count} corruptions, the baseline's is 100")
    show_differences(answer, "robustness")
