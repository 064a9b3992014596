"""The table on a terminal of any width: no number and no name is cut, and no line is longer than the terminal."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from levelfield.plain_table import longest_piece
from levelfield.tables import build_table, read_study
from levelfield.tables.effects import effects_of
from levelfield.tables.number_format import interval, percent
from levelfield.tables.scaling import scaling_of
from levelfield.tables.table import StudyTable
from levelfield.tables.text.columns import against_baseline, against_published
from levelfield.tables.text.fitting import Fitting, Form
from levelfield.tables.text.scaling import law_lines, pair_lines
from levelfield.tables.text.terminal import to_rich
from levelfield.units import wrap

COMMITTED = sorted((Path(__file__).parents[2] / "results" / "cpu").iterdir())


def words_of(table: StudyTable) -> Counter[str]:
    """The words and pieces of names that its rows are told in, without costs, which may be left out."""
    cells = []
    for row in table.rows:
        cells += wrap(row.title, 1)
        if row.top1 is not None:
            cells += [percent(row.top1.value), interval(row.top1), str(row.rank), *against_baseline(row)[:2]]
        if row.runs.row.published:
            cells += [*wrap(row.title, 1), *against_published(row)]
    others = [effects.lines() for effects in effects_of(table) if not effects.why]
    others += [lines for found in scaling_of(table) for lines in (pair_lines(found), law_lines(found))]
    cells += [cell for lines in others for line in lines for cell in line[1:-1]]
    return Counter(word for cell in cells for word in cell.split())


def printed(shown: object, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_nothing_is_cut_at_any_width(folder: Path) -> None:
    table = build_table(read_study(folder))
    expected = words_of(table)
    for width in (*range(20, 80), 80, 88, 96, 99, *range(100, 121, 5)):
        lines = printed(to_rich(table), width)
        found: Counter[str] = Counter(
            piece for line in lines for word in line.split() for piece in (word, *wrap(word, 1))
        )
        assert not expected - found, f"{width} columns: {expected - found}"
        assert "…" not in "".join(lines)
        assert max(map(cell_len, lines)) <= width


def test_costs_are_shown_where_there_is_room_and_in_blocks() -> None:
    table = build_table(read_study(next(each for each in COMMITTED if each.name == "outgrid-cifar100")))
    for width, shown in ((30, True), (60, False), (80, True), (120, True)):
        text = "\n".join(printed(to_rich(table), width))
        assert ("442 M" in text) is shown, width


def test_a_form_that_fits_is_chosen_and_names_break_at_their_parts() -> None:
    rows = [["conv-next_tiny/adamw", "1,234 k", "99.9 %"], ["b", "–", "1"]]
    both = Fitting(Form(("row", "cost", "top-1"), rows), Form(("row", "top-1"), [[row[0], row[2]] for row in rows]))
    assert "1,234 k" in "".join(printed(both, 40)) and "conv-next_tiny/adamw" in "".join(printed(both, 40))
    narrow = printed(both, 20)
    assert "1,234" not in "".join(narrow) and any(line.startswith("conv-next_") for line in narrow)
    blocks = printed(both, 15)
    assert blocks[-1] == "b  1" or "1,234 k" in " ".join(blocks)
    assert longest_piece("conv-next_tiny/adamw") == 5
