"""The options and the endings that the analyses of a study share, each written once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from levelfield.cli.output import console, messages, print_json, show_table

StudyFolder = Annotated[
    Path, typer.Argument(help="A study's folder, or any folder that holds finished runs.", metavar="STUDY")
]
Baseline = Annotated[str | None, typer.Option(help="The row that others are compared with (default: the study's).")]


def finish(command: str, folder: Path, stem: str, answer: Mapping[str, Any], json: bool) -> bool:
    """Write `answer` where the page of the study in `folder` shows it, and print it where JSON is asked for. Returns
    whether it remains to be shown."""
    from levelfield.analysis.result_cache import write_answer
    from levelfield.analysis.studied_rows import FOLDER

    path = write_answer(folder / FOLDER, stem, answer)
    if json:
        print_json(f"analyze {command}", answer)
        return False
    messages.print(f"written: {path}; its page shows it: levelfield report {folder}", soft_wrap=True, highlight=False)
    return True


def show_differences(
    answer: Mapping[str, Any],
    title: str,
    shown: Sequence[Mapping[str, Any]] | None = None,
    rule: str = "one Holm family",
) -> None:
    """Print every row beside its baseline in every measure, or those that are `shown`; decided by `rule`."""
    from levelfield.tables.number_format import p_value, signed

    found: Sequence[Mapping[str, Any]] = answer["differences"] if shown is None else shown
    if not found:
        console.print("nothing is compared: that takes the baseline and another row that both have these measures")
        return
    measures = {measure["key"]: measure for measure in answer["measures"]}
    several = len({one["panel"] for one in found}) > 1
    lines = []
    for one in found:
        measure = measures[one["measure"]]
        digits, row = measure["digits"], one["row"] + (f" on {one['panel']}" if several else "")
        low, high = one["low"], one["high"]
        interval = "–" if low is None else f"[{signed(low, digits)}, {signed(high, digits)}]"
        cells = signed(one["estimate"], digits), interval, p_value(one["p_adjusted"]), one["verdict"]
        lines.append((measure["title"], row, *cells))
    baselines = ", ".join(dict.fromkeys(answer["baselines"].values()))
    headings = ("measure", "row", "difference", "interval", "p adjusted", "verdict")
    show_table(
        headings, lines, headings[2:5], title=f"{title}, beside {baselines} ({rule}{' a test set' if several else ''})"
    )


def show_left_out(answer: Mapping[str, Any]) -> None:
    """Print which rows an answer leaves out, and why."""
    from levelfield.tables.lists_in_words import left_out_in_words

    for line in left_out_in_words(answer):
        console.print(line, markup=False)
