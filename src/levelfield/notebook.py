"""What notebooks show: values as small tables of HTML, and a place in the output that is drawn again."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

UNBROKEN: Final = len("[−100.00, +100.00]")
"""A cell among the numbers that is no longer than this stays on one line; words of a longer one wrap."""


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this (Jupyter, Colab, VS Code): a terminal's IPython has none."""
    shell = sys.modules.get("IPython")
    return shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None


class Place:
    """A place in the output of the cell that runs; `draw` replaces what stands there. Only in a notebook."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._shown: Any = display(HTML(""), display_id=True)

    def draw(self, html: str) -> None:
        """Put `html` there instead of what was there before; "" clears the place."""
        self._shown.update(self._html(html))


def bar(description: str, done: float, total: float, beside: str) -> str:
    """One line: what is being done, a bar of how much of `total` is done, and text beside it."""
    share = min(1.0, done / total) if total > 0 else 0.0
    return (
        '<div style="font-family:monospace;white-space:pre-wrap">'
        f'{escape(description)} <progress max="1" value="{share:.4f}" style="vertical-align:middle"></progress> '
        f"{100 * share:.0f} %  {escape(beside)}</div>"
    )


def table(header: Sequence[str], lines: Iterable[Sequence[object]], *, numbers_from: int = 1) -> str:
    """A table of text, escaped; columns from `numbers_from` on stand to the right, numbers and intervals unbroken.

    A wide one scrolls.
    """

    def cell(kind: str, place: int, text: str) -> str:
        style = "text-align:left" if place < numbers_from else "text-align:right"
        if place >= numbers_from and len(text) <= (UNBROKEN if kind == "td" else len("top-1 %")):
            style += ";white-space:nowrap"
        return f'<{kind} style="{style}">{escape(text)}</{kind}>'

    def cells(kind: str, line: Sequence[object]) -> str:
        return "".join(cell(kind, place, str(each)) for place, each in enumerate(line))

    head = f"<thead><tr>{cells('th', header)}</tr></thead>" if header else ""
    body = "".join(f"<tr>{cells('td', line)}</tr>" for line in lines)
    return f'<div style="overflow-x:auto"><table>{head}<tbody>{body}</tbody></table></div>'


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """A table of two columns, a name and what it is, without the pairs of which the second is None or empty."""
    return table((), ((name, value) for name, value in pairs if value not in (None, "")), numbers_from=2)


def paragraph(words: str, *, strong: bool = False) -> str:
    """Text, escaped, on lines of its own."""
    return f"<p><b>{escape(words)}</b></p>" if strong else f"<p>{escape(words)}</p>"


def folded(summary: str, lines: Iterable[str]) -> str:
    """Lines of text behind one that opens them."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(map(paragraph, lines))}</details>"
