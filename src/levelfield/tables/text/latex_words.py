"""Words as LaTeX sets them: every character that means something to TeX, and those beyond Latin, written out."""

from __future__ import annotations

import re
from typing import Final

SPECIAL: Final = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
    "'": "'{}",
}  # fmt: skip
"""Of ASCII. `\\textquotedbl` and `\\textquotesingle` need the encoding T1 and the package textcomp."""
SIGNS: Final = {
    "−": "$-$", "–": "--", "—": "---", "×": r"$\times$", "±": r"$\pm$", "≈": r"$\approx$", "≤": r"$\leq$",
    "≥": r"$\geq$", "→": r"$\rightarrow$", "·": r"$\cdot$", "°": r"$^\circ$", "µ": r"$\mu$", "μ": r"$\mu$",
    "▲": r"$\blacktriangle$", "▼": r"$\blacktriangledown$", "…": r"\ldots{}", "’": "'", "‘": "`", "“": "``",
    "”": "''", "√": r"$\surd$", "∞": r"$\infty$", "\N{NO-BREAK SPACE}": "~", "\N{NARROW NO-BREAK SPACE}": r"\,",
}  # fmt: skip
LATIN: Final = range(0xC0, 0x180)
"""Letters that T1 has."""


def latex(text: str) -> str:
    """`text` so that LaTeX (encoding T1, input utf8) sets it as it stands; a blank for every run of blanks.

    A letter that no font of T1 has stands as its code point (U+AC00), as a missing glyph would be lost silently.
    """
    parts = " ".join(text.split()).split("--")  # which T1 would set as one dash
    return "-{}-".join("".join(map(_character, part)) for part in parts)


def latex_with_breaks(text: str) -> str:
    """`latex`, with places inside of names (behind _ - and /) where a line may be broken."""
    return re.sub(r"(?<=\w)(\\_|-|/)(?=\w)", r"\1\\allowbreak{}", latex(text))


def _character(one: str) -> str:
    if one in SPECIAL:
        return SPECIAL[one]
    if one in SIGNS:
        return SIGNS[one]
    if " " <= one <= "~" or (ord(one) in LATIN and one not in "×÷"):
        return one
    return f"U+{ord(one):04X}"
