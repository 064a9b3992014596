"""Numbers as people write them: counts with a unit, sizes, times; never a power of ten, and an en dash for none.

And names and words in lines of a width.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Final

NONE: Final = "–"
_SIGN: Final = r"(?:(?<!\S)[\[(]?[-+](?=\d))?+"
_PIECES: Final = re.compile(rf"\s+|{_SIGN}[^\s\-_+/:]*[-_+/:]+|{_SIGN}[^\s\-_+/:]+")
"""Where words may be broken: at blanks, and behind - _ + / and : inside of names; not behind the sign of a number."""


def short(value: float | None) -> str:
    """A count with three digits and a unit: 7518102 -> "7.52 M"."""
    if value is None:
        return NONE
    value = float(f"{value:.3g}")  # rounded first: 999,950 is 1.00 M
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            scaled = value / size
            return f"{scaled:,.{max(0, 2 - int(math.log10(abs(scaled))))}f} {unit}"
    return plain(value)


def whole(value: float | None) -> str:
    """A rounded count with thousands separated: "12,345"."""
    return NONE if value is None else f"{value:z,.0f}"


def plain(value: float, digits: int = 3) -> str:
    """A number of so many digits that count, written out: 0.00003, not 3e-05."""
    return f"{Decimal(f'{value:.{digits}g}'):f}"


def size(mib: float | None) -> str:
    """Mebibytes as memory or a file's size: 12.25 -> "12.2 MiB", 1229 -> "1.2 GiB"."""
    if mib is None:
        return NONE
    if round(mib) < 1024:
        return f"{mib:.1f} MiB" if round(mib, 1) < 100 else f"{mib:.0f} MiB"
    return f"{mib / 1024:.1f} GiB"


def duration(seconds: float) -> str:
    """Seconds for a reader, in its two largest units: "8 s", "3 min 20 s", "2 h 3 min", "4 d 6 h"."""
    rest = round(seconds)
    if rest < 60:
        return f"{rest} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    first = next(number for number, (_, length) in enumerate(units) if rest >= length)
    (unit, length), (below, shorter) = units[first], units[first + 1]
    count, rest = divmod(rest, length)
    return f"{count} {unit}" + (f" {rest // shorter} {below}" if rest // shorter else "")


def wrap(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` columns of a terminal, of which a Chinese letter takes two.

    They are broken at blanks and inside of names; a longer piece stays whole.
    """
    from rich.cells import cell_len  # training does without it

    lines, line = [], ""
    for piece in _PIECES.findall(text):
        if line and cell_len((line + piece).rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line = line + piece if line else piece.lstrip()
    return [*lines, line.rstrip()] if line or not lines else lines
