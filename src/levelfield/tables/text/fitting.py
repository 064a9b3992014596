"""A table on a terminal of any width: names are wrapped at their parts, columns left out, and then its rows stacked.

Rich would cut what does not fit; nothing is ever cut here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from levelfield.plain_table import longest_piece, narrowed, table_lines
from levelfield.units import wrap

SHORTEST: Final = 12
"""Names are not wrapped to less than this, where they are longer."""


@dataclass(frozen=True)
class Form:
    """One way to draw a table. `words`: the columns that may be wrapped; others are numbers, aligned right unless in
    `left`. `widest`: words are wrapped at this in any case. A row of one cell is a title of those below it.

    A cell of words is a `str`, whose lines after the first are dim, or a `Text` of one style.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str | Text]]
    words: Sequence[int] = (0,)
    left: Sequence[int] = (0,)
    widest: int = 1_000_000


class Fitting:
    """The first of some forms of a table that fits; where none does, the rows of the first as blocks of lines."""

    def __init__(self, *forms: Form) -> None:
        self.forms = forms

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        drawn = (_drawn(form, options.max_width) for form in self.forms)
        table = next((each for each in drawn if each is not None), None)
        if table is None:
            yield from _blocks(self.forms[0], options.max_width)
        else:
            yield table


def _drawn(form: Form, width: int) -> Table | None:
    """The form as Rich draws it; None where something would be cut."""
    natural, least = [], []
    for at, heading in enumerate(form.headings):
        cells = [heading, *(str(row[at]) for row in form.rows if at < len(row))]
        lines = [line for cell in cells for line in cell.split("\n")]
        if at in form.words:
            natural.append(max(cell_len(part) for line in lines for part in wrap(line, form.widest)))
            least.append(max(min(natural[-1], SHORTEST), *map(longest_piece, lines)))
        else:
            natural.append(max(map(cell_len, lines)))
            least.append(natural[-1])
    widths = narrowed(natural, least, width - (len(form.headings) - 1))
    if widths is None:
        return None
    shown = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for at, heading in enumerate(form.headings):
        title = "\n".join(wrap(heading, widths[at]))
        shown.add_column(title, justify="left" if at in form.left else "right", width=widths[at], no_wrap=True)
    for row in form.rows:
        shown.add_row(*(_wrapped(cell, widths[at]) if at in form.words else cell for at, cell in enumerate(row)))
    return shown


def _wrapped(cell: str | Text, width: int) -> Text:
    first, *others = ("\n".join(wrap(line, width)) for line in str(cell).split("\n"))
    shown = Text(first, style=cell.style if isinstance(cell, Text) else "")
    for other in others:
        shown.append(f"\n{other}", style="dim")
    return shown


def _blocks(form: Form, width: int) -> RenderResult:
    rows = [[" ".join(str(cell).split()) for cell in row] for row in form.rows]
    whole = [[*row, *[""] * (len(form.headings) - len(row))] for row in rows]
    heading, lines = table_lines(form.headings, whole, width)
    yield Text("\n".join(heading), style="bold")
    yield Text("\n".join(lines))
