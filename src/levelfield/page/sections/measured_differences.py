"""What an analysis decided of its measures, as a table, and whether it is of the runs that the page is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from levelfield.page import markup
from levelfield.page.markup import paragraph, tag, text
from levelfield.page.verdict_marks import chip
from levelfield.tables.lists_in_words import left_out_in_words
from levelfield.tables.number_format import p_value, signed
from levelfield.tables.table import StudyTable

COLUMNS = ("difference", "interval", "p adjusted", "verdict")


def measured_differences(table: StudyTable, answer: Mapping[str, Any], key: str) -> str:
    """Every row beside its baseline in every measure of `answer`; "" where nothing was compared."""
    found: Sequence[Mapping[str, Any]] = answer["differences"]
    if not found:
        return ""
    title = {row.name: row.title for row in table.rows}
    baselines = ", ".join(title.get(name, name) for name in dict.fromkeys(answer["baselines"].values()))
    lines = "The lines of each test set" if len({one["panel"] for one in found}) > 1 else "All lines"
    note = (
        f"Beside {baselines}, each by its own runs ({methods(found)}). {lines} are one family of Holm's procedure: 5 % "
        "for any false claim among them. Intervals are at the level of the decision."
    )
    claims = sum(one["verdict"] in ("better", "worse") for one in found)
    content = paragraph(note, class_="note") + lines_of_differences(
        table, answer, found, ("measure", "row"), "Differences to the baseline", key
    )
    return markup.folded(f"Beside {baselines}: {claims} of {len(found)} differences decided", content)


def methods(found: Sequence[Mapping[str, Any]]) -> str:
    """By which tests the differences were decided."""
    return ", ".join(dict.fromkeys(str(one["method"]) for one in found))


def lines_of_differences(
    table: StudyTable, answer: Mapping[str, Any], found: Sequence[Mapping[str, Any]], first: tuple[str, str],
    label: str, key: str,
) -> str:  # fmt: skip
    """Those of the differences of `answer` that were `found`, as a table; `first`: what measure and row are called."""
    title = {row.name: row.title for row in table.rows}
    measures = {measure["key"]: measure for measure in answer["measures"]}
    lines = []
    for one in found:
        measure = measures[one["measure"]]
        digits, row = measure["digits"], title.get(one["row"], one["row"])
        row += f" on {one['panel']}" if len(answer["baselines"]) > 1 else ""
        low, high = one["low"], one["high"]
        interval = "–" if low is None else f"[{signed(low, digits)}, {signed(high, digits)}]"
        cells = (row, signed(one["estimate"], digits), interval, p_value(one["p_adjusted"]))
        decided = tag("td", chip(one["verdict"], one["verdict"]))
        lines.append(
            tag("tr", [tag("th", text(measure["title"]), scope="row"), *(tag("td", text(c)) for c in cells), decided],
                data_of=one["row"])
        )  # fmt: skip
    return markup.table((*first, *COLUMNS), lines, label, key)


def of_other_runs(table: StudyTable, answer: Mapping[str, Any], command: str) -> str:
    """A note where runs have come or gone since `answer` was computed; else ""."""
    known = {
        row.name: [None if run.folder is None else run.folder.identity for run in row.runs.finished]
        for row in table.measured
    }
    results = {row.name: [run.digest for run in row.runs.finished] for row in table.measured}
    if known != answer["runs"]:
        count = sum(len(runs) for runs in answer["runs"].values())
        said = f"Computed of {count} runs, which are not the runs of this table"
    elif answer.get("made_of", {}).get("results", results) != results:
        said = "Computed before runs of this table were carried out again"
    else:
        return ""
    return paragraph(f"{said}: levelfield analyze {command} again.", class_="note")


def left_out(answer: Mapping[str, Any]) -> str:
    """The rows that an answer leaves out, and why; "" where none is."""
    said = left_out_in_words(answer)
    return markup.bullets(f"{line}." for line in said) if said else ""
