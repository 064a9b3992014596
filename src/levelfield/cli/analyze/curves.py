"""`levelfield analyze curves`: how the rows of a study get to where they end."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from levelfield.cli.analyze.options import Baseline, StudyFolder, finish, show_differences, show_left_out
from levelfield.cli.options import Json
from levelfield.cli.output import console, show_table
from levelfield.cli.what_was_meant import folder_meant


def curves(
    context: typer.Context,
    study: StudyFolder,
    target: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="The top-1 (%) to be reached (default: 90 % of the baseline's last)."),
    ] = None,
    baseline: Baseline = None,
    json: Json = False,
) -> None:
    """Learning curves and where they cross, epochs and seconds to an accuracy, what an earlier stop would conclude.

    From the metrics of every run alone. Example: levelfield analyze curves runs/quickstart --target 90
    """
    from levelfield.analysis.curves import curves as analyse
    from levelfield.analysis.studied_rows import studied

    folder = folder_meant(study)
    answer = analyse(studied(folder, baseline), target)
    if finish(context, folder, "curves", answer, json):
        _show(answer)


def _show(answer: dict[str, Any]) -> None:
    for panel in answer["panels"]:
        on = f" on {panel['panel']}" if len(answer["panels"]) > 1 else ""
        console.print(f"top-1 by epoch{on}: {panel['metric']}, of {panel['split']}", markup=False)
        _show_target(panel, on)
        _show_crossings(panel, on, answer["baselines"].get(panel["panel"]))
        _show_stops(panel, on, answer["baselines"].get(panel["panel"]))
        show_left_out(panel)
    if answer["differences"]:
        show_differences(answer, "to the accuracy")


def _show_target(panel: dict[str, Any], on: str) -> None:
    from levelfield.tables.lists_in_words import not_counted
    from levelfield.tables.number_format import censored_mean, percent, seeds_never

    lines = []
    for row in panel["rows"]:
        found, last = row["to_target"], row["points"][-1] if row["points"] else None
        cells = percent(last and last["mean"]), f"{found['reached']} of {found['runs']}"
        lines.append((row["title"], *cells, censored_mean(found["epochs"], 1), censored_mean(found["seconds"], 0),
                      seeds_never(found)))  # fmt: skip
    headings = ("at the end %", "reached", "epochs", "seconds", "never")
    show_table(("row", *headings), lines, headings[:4], title=f"to {panel['target']:g} %{on}")
    if said := not_counted(panel["trained_before"]):
        console.print(said, markup=False)


def _show_crossings(panel: dict[str, Any], on: str, baseline: str | None) -> None:
    from levelfield.tables.lists_in_words import untold_crossings
    from levelfield.tables.number_format import NONE, last_crossing

    crossings = panel["crossings"]
    if crossings["said"]:
        console.print(f"where curves cross{on}: {crossings['said']}", markup=False)
        return
    title = {row["row"]: row["title"] for row in panel["rows"]}
    lines = [
        (title[row["row"]], title.get(row["before"], NONE), last_crossing(row), title.get(row["after"], NONE))
        for row in crossings["rows"]
    ]
    headings = ("row", "leads before", "until epoch [95 %]", "leads after")
    show_table(headings, lines, title=f"last crossing with the curve of {baseline}{on}")
    for why in untold_crossings(crossings["rows"]):
        console.print(why, markup=False)


def _show_stops(panel: dict[str, Any], on: str, baseline: str | None) -> None:
    stops = panel["stops"]
    if stops["said"]:
        console.print(f"an earlier stop{on}: {stops['said']}", markup=False)
        return
    title = {row["row"]: row["title"] for row in panel["rows"]}
    lines = [
        (title[row["row"]], row["end"], f"{row['settled']:.0f} %", _shares(row["flipped"]), _shares(row["early"]))
        for row in stops["rows"]
    ]
    headings = ("at the end", "the same from", "opposite at", "decided too early at")
    show_table(("row", *headings), lines, title=f"had all runs stopped earlier, beside {baseline}{on}")
    console.print(f"verdicts at stops are of {panel['split']}, not of the test images of the table", markup=False)


def _shares(shares: list[float]) -> str:
    return ", ".join(f"{share:.0f} %" for share in shares) or "–"
