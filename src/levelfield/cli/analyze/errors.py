"""`levelfield analyze errors`: where the rows of a study err."""

from __future__ import annotations

from typing import Any, Final

import typer

from levelfield.cli.analyze.options import Baseline, StudyFolder, finish, show_differences, show_left_out
from levelfield.cli.options import Json
from levelfield.cli.output import console, messages, show_table
from levelfield.cli.what_was_meant import folder_meant

SHOWN: Final = 20
"""So many lines of a list are printed; the page and --json have all."""


def errors(context: typer.Context, study: StudyFolder, baseline: Baseline = None, json: Json = False) -> None:
    """Classes that rows differ in, classes that are confused, the hardest images, labels in doubt, and churn.

    From stored predictions alone: no network, no data. Example: levelfield analyze errors runs/quickstart
    """
    from levelfield.analysis.errors import errors as analyse
    from levelfield.analysis.studied_rows import studied

    folder = folder_meant(study)
    found = studied(folder, baseline)
    answer = analyse(found, lambda words: messages.print(words, highlight=False, markup=False))
    if finish(context, folder, "errors", answer, json):
        _show(answer)


def _show(answer: dict[str, Any]) -> None:
    for panel in answer["panels"]:
        on = f" on {panel['panel']}" if len(answer["panels"]) > 1 else ""
        _show_confusion(panel, on)
        _show_images(panel, on)
        _show_churn(panel, on, answer["baselines"].get(panel["panel"]))
        show_left_out(panel)
    decided = [one for one in answer["differences"] if one["verdict"] in ("better", "worse")]
    if decided:
        show_differences(answer, "recall %", decided[:SHOWN], "false discovery rate 5 %")
    console.print(answer["said"], markup=False)


def _show_confusion(panel: dict[str, Any], on: str) -> None:
    from levelfield.tables.number_format import percent

    lines = [
        (f"{pair['label']} → {pair['predicted']}", percent(sum(pair["share"].values()) / len(pair["share"])),
         percent(min(pair["share"].values())), percent(max(pair["share"].values())))
        for pair in panel["confused"]
    ]  # fmt: skip
    headings = ("mean of rows %", "lowest row", "highest row")
    show_table(("taken for", *headings), lines, headings, title=f"most confused, % of the true class{on}")
    if panel["clusters"]["groups"]:
        said = "; ".join(", ".join(group) for group in panel["clusters"]["groups"])
        console.print(f"confused with one another: {said}", markup=False)


def _show_images(panel: dict[str, Any], on: str) -> None:
    hardest, doubted = panel["hardest"], panel["label_candidates"]
    console.print(
        f"of {panel['images']:,} test images{on} all {panel['networks']} networks have {hardest['all_right']:,} right "
        f"and {hardest['all_wrong']:,} wrong"
    )
    lines = [_line(image) for image in hardest["images"][:SHOWN]]
    headings = ("image", "wrong", "label", "label's probability", "most frequent answer")
    show_table(headings, lines, ("image", "wrong", "label's probability"), title=f"hardest images{on}")
    if doubted["count"] is None:
        console.print(f"labels in doubt: {doubted['said']}", markup=False)
        return
    console.print(f"labels in doubt: {doubted['count']:,} ({doubted['said']})", markup=False)
    lines = [(*_line(image)[:-1], image["suggested"]) for image in doubted["images"][:SHOWN]]
    if lines:
        show_table((*headings[:-1], "suggested"), lines, ("image", "wrong", "label's probability"),
                   title=f"labels in doubt{on}")  # fmt: skip


def _line(image: dict[str, Any]) -> tuple[str, ...]:
    from levelfield.tables.number_format import percent

    wrong = f"{image['wrong']} of {image['networks']}"
    return str(image["index"]), wrong, image["label"], percent(image["probability"], 3), next(iter(image["votes"]))


def _show_churn(panel: dict[str, Any], on: str, baseline: str | None) -> None:
    from levelfield.tables.number_format import estimate_with_interval, p_value

    lines = []
    for row in panel["churn"]["rows"]:
        beyond = row["beyond"] or {}
        cells = estimate_with_interval(row["seeds"]), estimate_with_interval(row["baseline"])
        lines.append((row["title"], *cells, estimate_with_interval(row["beyond"], True),
                      p_value(beyond.get("p_adjusted")), beyond.get("verdict", "")))  # fmt: skip
    headings = ("between seeds %", f"to {baseline} %", "beyond seeds", "p adjusted", "verdict")
    title = f"churn: images that two networks take for different classes{on} (one Holm family)"
    show_table(("row", *headings), lines, headings[:4], title=title)
