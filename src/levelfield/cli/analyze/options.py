"""The options and the endings that the analyses of a study share, each written once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from levelfield.cli.output import console, messages, print_json, show_table

StudyFolder = Annotated[
    Path, typer.Argument(help="A study's folder, or any folder that holds finished runs.", metavar="STUDY")
]
WHERE: Final = ("baseline", "device", "data_dir", "json")
Baseline = Annotated[str | None, typer.Option(help="The row that others are compared with (default: the study's).")]


def finish(context: typer.Context, folder: Path, command: str, answer: Mapping[str, Any], json: bool) -> bool:
    """Write `answer`, and what was `asked` for it, where the page of the study in `folder` shows it, and print it where
    JSON is asked for. Returns whether it remains to be shown."""
    from levelfield.analysis.result_cache import write_answer
    from levelfield.analysis.studied_rows import FOLDER

    answer = {**answer, "asked": asked_words(context)}
    path = write_answer(folder / FOLDER, command, answer)
    if json:
        print_json(f"analyze {command}", answer)
        return False
    messages.print(f"written: {path}; its page shows it: levelfield report {folder}", soft_wrap=True, highlight=False)
    return True


def asked_words(context: typer.Context) -> list[str]:
    """The options of the command that is being carried out, as they were given, but for those that say where and beside
    what it computes and not what: of an answer that was asked for by its command alone, none."""
    words: list[str] = []
    for parameter in context.command.params:
        name, source = parameter.name or "", context.get_parameter_source(parameter.name or "")
        if parameter.param_type_name != "option" or name in WHERE or source is None or source.name != "COMMANDLINE":
            continue
        given = context.params[name]
        for value in given if isinstance(given, list | tuple) else [given]:
            words += [parameter.opts[0]] if isinstance(value, bool) else [parameter.opts[0], str(value)]
    return words


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
