"""`levelfield analyze calibration`: whether confidence is to be believed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from levelfield.cli.analyze.options import Baseline, StudyFolder, finish, show_differences, show_left_out
from levelfield.cli.completion import data_sets
from levelfield.cli.options import DataDir, Device, Json
from levelfield.cli.output import console, messages, show_table
from levelfield.cli.what_was_meant import folder_meant


def calibration(
    context: typer.Context,
    study: StudyFolder,
    other: Annotated[
        str | None,
        typer.Option(help="A data set whose images are to be told from the test images.", autocompletion=data_sets),
    ] = None,
    images: Annotated[int | None, typer.Option(min=10, help="With --other: so many images of each (all).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the images.")] = 0,
    baseline: Baseline = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Calibration errors, NLL, Brier, risk against coverage; temperature and conformal sets by validation images.

    From stored predictions; validation images (where runs held some out) and --other images go through the networks
    once, and what they say is kept. Example: levelfield analyze calibration runs/quickstart
    """
    from levelfield.analysis.calibration import calibration as analyse
    from levelfield.analysis.studied_rows import studied

    folder = folder_meant(study)
    found = studied(folder, baseline)
    answer = analyse(
        found, other=other, images=images, seed=seed, device=device, data_dir=data_dir,
        see=lambda words: messages.print(words, highlight=False, markup=False),
    )  # fmt: skip
    if finish(context, folder, "calibration", answer, json):
        _show(answer)


def _show(answer: dict[str, Any]) -> None:
    from levelfield.analysis.calibration import mean_of
    from levelfield.tables.number_format import percent

    keys = [(measure["key"], measure["title"], measure["digits"]) for measure in answer["measures"]]
    lines, fitted = [], []
    for row in answer["rows"]:
        runs = row["runs"]
        lines.append((row["title"], str(len(runs)), *(percent(mean_of(runs, key), digits) for key, _, digits in keys)))
        fitted.append((row["title"], *_fitted(runs)))
    titles = [title for _, title, _ in keys]
    show_table(("row", "seeds", *titles), lines, ("seeds", *titles), title="confidence, means over seeds")
    headings = ("temperature", "NLL scaled", "90 % sets: coverage %", "classes", "95 % sets: coverage %", "classes ")
    show_table(("row", *headings), fitted, headings, title="fitted on validation images")
    said = {row["title"]: ", ".join(dict.fromkeys(run["validation"] for run in row["runs"])) for row in answer["rows"]}
    for words in dict.fromkeys(said.values()):
        who = [title for title, own in said.items() if own == words]
        console.print(f"{'all rows' if len(who) == len(said) else ', '.join(who)}: {words}", markup=False)
    if answer["other"] is not None:
        _show_detection(answer)
    show_left_out(answer)
    show_differences(answer, "confidence")


def _fitted(runs: list[dict[str, Any]]) -> list[str]:
    from levelfield.analysis.calibration import mean_of
    from levelfield.tables.number_format import percent

    cells = [percent(mean_of(runs, "temperature"), 3), percent(mean_of(runs, "nll_scaled"), 4)]
    for place in range(2):
        sets = [run["conformal"][place] for run in runs if run["conformal"]]
        cells += [percent(mean_of(sets, "coverage")), percent(mean_of(sets, "size"))]
    return cells


def _show_detection(answer: dict[str, Any]) -> None:
    from levelfield.analysis.calibration import mean_of
    from levelfield.tables.number_format import percent

    lines = []
    for row in answer["rows"]:
        known = [run["ood"] for run in row["runs"] if isinstance(run["ood"], dict)]
        scores = (
            mean_of([one[name] for one in known], key) for name in ("msp", "energy") for key in ("auroc", "fpr95")
        )
        lines.append((row["title"], *map(percent, scores)))
    headings = ("MSP AUROC %", "MSP FPR95 %", "energy AUROC %", "energy FPR95 %")
    show_table(("row", *headings), lines, headings, title=f"test images against those of {answer['other']}")
