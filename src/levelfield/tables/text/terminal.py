"""The table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final, Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from levelfield.tables.answer_to_question import statements
from levelfield.tables.effects import BASIS, COLUMNS, Effects, effects_of
from levelfield.tables.number_format import NONE, interval, percent, short, whole
from levelfield.tables.scaling import ScalingOf, scaling_of
from levelfield.tables.suite import COLUMNS as SUITE
from levelfield.tables.suite import suite_of
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.text.columns import against_baseline, against_published
from levelfield.tables.text.fitting import Fitting, Form
from levelfield.tables.text.footnotes import audit_in_words, footnotes
from levelfield.tables.text.scaling import (
    BASIS as CURVES,
)
from levelfield.tables.text.scaling import (
    FRONT_BASIS,
    LAWS,
    LAWS_BASIS,
    PAIRS,
    front_words,
    law_lines,
    left_out_words,
    pair_lines,
)

WIDE: Final = 100
"""So many columns have room for each cost in a column of its own."""
NAME_WIDTH: Final = 25
"""Longer names of rows are wrapped at their parts."""
COSTS: Final = ("params", "MACs", "img/s")
Costs = Literal["beside", "below", "none"]
VERDICT_STYLE = {"better": "green", "worse": "red", "equivalent": "cyan"}


def to_rich(table: StudyTable) -> RenderableType:
    """The table for a terminal, with the answer and the audit above and its basis below."""
    parts: list[RenderableType] = []
    if table.study.question:
        parts.append(Text(table.study.question, style="bold"))
    parts += [Text(line) for line in _answer(table)]
    if table.study.scale not in ("", "full"):
        parts.append(Text(f"Scale {table.study.scale}: reduced, not the whole study.", style="yellow"))
    parts.append(Text(f"Fairness: {audit_in_words(table)}", style="yellow" if table.audit.unfair else "green"))
    parts += [Text(f"  ! {finding.text}", style="yellow") for finding in table.audit.unfair]
    parts += [Text(f"  {finding.text}", style="dim") for finding in table.audit.of("declared")]

    parts.append(_Rows(table))
    if any(row.runs.row.published for row in table.rows):
        parts += [Text(), _published_table(table)]
    curves, of_parts = scaling_of(table), effects_of(table)
    for found in curves:
        parts += [*_of(found.panel, len(curves)), *_scaling(found)]
    if (suite := suite_of(table)) is not None:
        parts += [Text(), _cells_table(SUITE, suite.lines()), *(Text(line, style="dim") for line in suite.in_words())]
    for effects in of_parts:
        parts += [*_of(effects.panel, len(of_parts)), Text(), _effects_table(effects), Text(BASIS, style="dim")]
    parts += [Text(line, style="dim") for line in footnotes(table)]
    return Group(*parts)


def _answer(table: StudyTable) -> list[str]:
    """The answer sentence by sentence, those of one test set under its name."""
    return [
        line
        for panel, said in groupby(statements(table), key=lambda statement: statement.panel)
        for line in ([f"On {panel}:"] if panel else []) + [f"  {statement.text}" for statement in said]
    ]


def _of(panel: str, panels: int) -> list[RenderableType]:
    """The name of the test set that what follows is of, where there are several."""
    return [Text(), Text(f"On {panel}:", style="bold")] if panels > 1 else []


def _scaling(found: ScalingOf) -> list[RenderableType]:
    """Networks at equal cost, their laws, and the front."""
    parts: list[RenderableType] = []
    for columns, lines, basis in ((PAIRS, pair_lines(found), CURVES), (LAWS, law_lines(found), LAWS_BASIS)):
        if lines:
            parts += [Text(), _cells_table(columns, lines), Text(basis, style="dim")]
    fronts = [*map(front_words, found.fronts), *([FRONT_BASIS] if found.fronts else [])]
    return parts + [Text(line, style="dim") for line in (*fronts, *left_out_words(found))]


def _effects_table(effects: Effects) -> RenderableType:
    if effects.why:
        return Text(f"Effects of the parts: not computed, {effects.why}")
    return _cells_table(COLUMNS, effects.lines())


def _cells_table(columns: Sequence[str], lines: Sequence[tuple[str, ...]]) -> Fitting:
    """Numbers under their titles between what they are of and a last column of words."""
    ends = (0, len(columns) - 1)
    return Fitting(Form(columns, lines, words=ends, left=ends))


class _Rows:
    """The rows at the width of the terminal: in less than `WIDE` columns the costs stand below one another, and where
    that is still too wide (numbers of many digits) they are left to the page and the other forms; where even that would
    be cut, each row is a block of lines."""

    def __init__(self, table: StudyTable) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE
        costs: tuple[Costs, ...] = ("beside", "below", "none") if wide else ("below", "none")
        yield Fitting(*map(self._form, costs))

    def _form(self, costs: Costs) -> Form:
        named = {"beside": COSTS, "below": ("cost",), "none": ()}[costs]
        rows: list[Sequence[str | Text]] = []
        panel = None
        for row in self.table.by_panel:
            if len(self.table.panels) > 1 and row.panel != panel:
                panel = row.panel
                rows.append([Text(panel or "other", style="bold")])
            rows.append([*_terminal_cells(row), *_cost_cells(row, costs)])
        return Form(("row", "n", "top-1 %", "to baseline", "rank", *named), rows, widest=NAME_WIDTH)


def _cost_cells(row: TableRow, costs: Costs) -> list[str | Text]:
    if costs == "none" or row.top1 is None:
        return []
    values = [short(row.means.get("params")), short(row.means.get("macs")), whole(row.means.get("images_per_s"))]
    if costs == "beside":
        return list(values)
    return ["\n".join(f"{value} {name}" for name, value in zip(COSTS, values, strict=True) if value != NONE)]


def _terminal_cells(row: TableRow) -> list[str | Text]:
    if row.top1 is None:
        return [_title(row), "0", Text(row.state, style="dim")]
    difference, adjusted, verdict = against_baseline(row)
    against = Text(difference)
    if verdict:
        against = Text(f"{difference} ").append(adjusted, style="dim")
        word, _, more = verdict.partition(" (")
        said = f"\n{word}" + (f"\n({more}" if more else "")
        against.append(said, style=VERDICT_STYLE.get(word.partition(" ")[0], "dim"))
    score = Text(percent(row.top1.value)).append(f"\n{interval(row.top1)}", style="dim")
    return [_title(row), str(row.n), score, against, str(row.rank or NONE)]


def _title(row: TableRow) -> str:
    """The row's name, and below it how many of its seeds failed."""
    return row.title + (f"\n{row.failed} of {row.n + row.failed} failed" if row.failed else "")


def _published_table(table: StudyTable) -> Fitting:
    rows: list[Sequence[str | Text]] = []
    for row in table.rows:
        if row.runs.row.published is not None:
            value, difference, inside = against_published(row)
            measured = percent(row.top1.value) if row.top1 else row.state
            rows.append([row.title, value, measured, difference, Text(inside, style="dim")])
    return Fitting(Form(("published top-1 %", "published", "measured", "difference", ""), rows, widest=NAME_WIDTH))
