"""A table as lines of text that fit a terminal: no number and no name is ever cut, whatever the width.

Where the columns are too wide, headings and then words are wrapped; where that is not enough, each row becomes a block:
its name, and below it every cell with its heading.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from rich.cells import cell_len

from levelfield.units import wrap

GAP: Final = 2
_CODES: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
NARROWEST: Final = 14
"""A column of words is not wrapped to less than this."""


def table_lines(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, numbers: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Lines of the heading and of the rows, of at most `width` columns of a terminal (None: as wide as they are).

    `numbers`: headings of what is aligned right. Longer lines come only from a word that is itself longer than `width`.
    """
    rows = [[without_codes(cell) for cell in row] for row in rows]
    right = [heading in numbers for heading in headings]
    natural = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    if width is None or _total(natural) <= width:
        return _drawn(headings, rows, natural, right)
    cells = list(zip(*rows, strict=True)) or [()] * len(headings)
    least = [
        max(map(cell_len, [*heading.split(), *column]))
        if numeric
        else max(min(full, NARROWEST), *map(longest_piece, (heading, *column)))
        for heading, column, full, numeric in zip(headings, cells, natural, right, strict=True)
    ]
    wished = [few if numeric else full for few, full, numeric in zip(least, natural, right, strict=True)]
    widths = narrowed(wished, least, width - GAP * (len(headings) - 1))
    return _stacked(headings, rows, width) if widths is None else _drawn(headings, rows, widths, right)


def without_codes(text: str) -> str:
    """`text` with what would steer a terminal written out: names of files and classes come from anywhere."""
    return _CODES.sub(lambda code: repr(code[0])[1:-1], text)


def longest_piece(text: str) -> int:
    """The columns of the longest piece of `text` that is never broken."""
    return max(map(cell_len, wrap(text, 1)))


def narrowed(widths: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """`widths` with the widest narrowed, none below `least`, until all fit into `room`; None where they cannot."""
    found = list(widths)
    while sum(found) > room:
        above = [at for at, width in enumerate(found) if width > least[at]]
        if not above:
            return None
        found[max(above, key=lambda at: found[at])] -= 1
    return found


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _drawn(
    headings: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[bool]
) -> tuple[list[str], list[str]]:
    heading = _line(headings, widths, right)
    return heading, [line for row in rows for line in _line(row, widths, right)]


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """One row, as many lines as its longest cell needs."""
    columns = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for at in range(max(map(len, columns))):
        shown = [column[at] if at < len(column) else "" for column in columns]
        aligned = [
            _padding(cell, width) + cell if numeric else cell + _padding(cell, width)
            for cell, width, numeric in zip(shown, widths, right, strict=True)
        ]
        lines.append((" " * GAP).join(aligned).rstrip())
    return lines


def _padding(cell: str, width: int) -> str:
    return " " * (width - cell_len(cell))


def _stacked(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> tuple[list[str], list[str]]:
    """Each row as a block, its first cell above the others."""
    lines: list[str] = []
    for first, *others in rows:
        lines += wrap(first, width)
        line = ""
        for heading, cell in zip(headings[1:], others, strict=True):
            pair = f"{heading} {cell}" if heading else cell
            if not cell:
                continue
            if line and cell_len(line) + GAP + cell_len(pair) > width:
                lines.append(line)
                line = ""
            line = f"{line}{' ' * GAP}{pair}" if line else f"{' ' * GAP}{pair}"
            if cell_len(line) > width:
                *full, line = wrap(line.strip(), width - 2 * GAP)
                lines += [f"{' ' * GAP}{part}" for part in full]
                line = f"{' ' * GAP}{line}"
        if line:
            lines.append(line)
    return wrap(headings[0], width), lines
