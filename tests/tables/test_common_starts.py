"""Rows compared seed by seed: what is said of them goes by the starts that both have, not by the runs of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from levelfield.page.page import page
from levelfield.statistics import RowScores, compare_rows, verdict
from levelfield.studies.declared.row_to_run import ROW
from levelfield.tables import Row, StudyTable, build_table
from levelfield.tables.text.csv import to_csv
from levelfield.tables.text.footnotes import footnotes
from levelfield.tables.text.json import to_json
from levelfield.tables.text.latex import to_latex
from levelfield.tables.text.markdown import to_markdown
from levelfield.tables.text.terminal import to_rich
from levelfield.tables.verdicts_in_words import verdict_words
from synthetic_runs import spec_of, write_run


def paired_table(folder: Path, seeds: Sequence[int], scores: Sequence[float]) -> StudyTable:
    """Five runs of a baseline, and a row that starts from it, of these `seeds` and `scores`."""
    after = (spec_of("after", model__start_from={"source": f"{ROW}base"}),)
    found = {"base": zip(range(5), (90.0, 90.1, 89.9, 90.05, 89.95), strict=True)}
    found["after"] = zip(seeds, scores, strict=True)
    rows = [
        Row(
            name,
            runs=tuple(write_run(folder / name / str(s), spec_of(name, s), top1=score, images=200) for s, score in of),
            declared=after if name == "after" else (spec_of("base"),),
        )
        for name, of in found.items()
    ]
    return build_table(rows, "base")


def forms(table: StudyTable) -> dict[str, str]:
    console = Console(width=100, file=io.StringIO(), color_system=None)
    console.print(to_rich(table))
    assert isinstance(console.file, io.StringIO)
    return {
        "terminal": " ".join(console.file.getvalue().split()), "markdown": to_markdown(table),
        "latex": to_latex(table), "page": page(table), "json": " ".join(to_json(table)["basis"]),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("common", "said"),
    [(0, "too few seeds"), (1, "too few seeds"), (2, "too few seeds"), (3, "undecided"), (4, "undecided")],
)
def test_the_starts_in_common_are_the_runs_of_a_paired_difference(common: int, said: str) -> None:
    base = RowScores(dict(enumerate((90.0, 90.3, 89.9, 90.05, 89.5))), start="p")
    seeds = range(5 - common, 10 - common)
    other = RowScores(dict(zip(seeds, (90.2, 90.1, 90.4, 90.0, 89.9), strict=True)), start="p")
    found = compare_rows({"base": base, "other": other}, "base").to_baseline("other")
    assert found is not None and found.paired and found.runs == (common, common)
    assert said in verdict_words(found) and (found.standard_error is None) is (common < 3)
    if common >= 3:
        needed = dict(found.seeds_for)[0.5]
        assert needed is not None and f"about {needed - common} more" in verdict_words(found)


@pytest.mark.parametrize(("seeds", "common"), [((7, 8, 9), 0), ((4, 7, 8), 1), ((3, 4, 7), 2), ((2, 3, 4, 7), 3)])
def test_every_form_says_over_how_many_starts_and_the_same_verdict(
    seeds: Sequence[int], common: int, tmp_path: Path
) -> None:
    table = paired_table(tmp_path, seeds, (91.0, 91.2, 90.9, 91.1)[: len(seeds)])
    pair = table.rows[1].to_baseline
    assert pair is not None and pair.paired and pair.runs == (common, common)
    word = verdict(pair)
    assert word == ("too few seeds" if common < 3 else word)
    said = {
        0: "no start in common with base", 1: "over the 1 start in common with base",
        2: "over the 2 starts in common with base", 3: "over the 3 starts in common with base",
    }[common]  # fmt: skip
    for form, shown in forms(table).items():
        assert said in shown, form
        assert form == "json" or word in shown, form
        assert form == "json" or word == "undecided" or "undecided (" not in shown, form
    (_, line) = csv.DictReader(io.StringIO(to_csv(table)))
    assert (line["verdict"], line["common_starts"]) == (word, str(common))
    assert to_json(table)["pairs"][0]["runs"] == (common, common)


def test_nothing_is_said_where_both_rows_have_the_same_starts(tmp_path: Path) -> None:
    table = paired_table(tmp_path, range(5), (91.0, 91.2, 90.9, 91.1, 90.8))
    assert not any("in common" in line for line in footnotes(table))
