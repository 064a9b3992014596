"""HTML by a few functions, so that quoting and escaping are done in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape as _escape


def text(value: object) -> str:
    """`value` as text, escaped."""
    return _escape(str(value), quote=True)


def tag(name: str, content: str | Iterable[str] = "", **attributes: object) -> str:
    """An element around `content`, which is HTML already (`text` makes it so).

    In attribute names `_` stands for `-` and a final one is dropped (`class_`); values are escaped; True gives a bare
    attribute, None and False leave it out.
    """
    given = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        plain = key.rstrip("_").replace("_", "-")
        given.append(f" {plain}" if value is True else f' {plain}="{text(value)}"')
    inner = content if isinstance(content, str) else "".join(content)
    return f"<{name}{''.join(given)}>{inner}</{name}>"


def prose(words: object) -> str:
    """`words` as text, in which what stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text(words))


def paragraph(words: object, **attributes: object) -> str:
    return tag("p", prose(words), **attributes)


def bullets(lines: Iterable[object]) -> str:
    return tag("ul", (tag("li", prose(line)) for line in lines))


def folded(summary: str, content: str, **attributes: object) -> str:
    """`content` behind a line that opens it."""
    return tag("details", tag("summary", text(summary)) + content, **attributes)


def code(words: str) -> str:
    """A block of code that can be scrolled by keyboard."""
    return tag("pre", tag("code", text(words)), tabindex=0)


def scrolled(table: str, label: str) -> str:
    """A wide table that scrolls within the page."""
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=label)


def line(first: object, *cells: object, words: object = None, **attributes: object) -> str:
    """A line of a table, of text: what it is of, and its cells; `words`: a last one, which may take several lines."""
    found = [tag("th", text(first), scope="row"), *(tag("td", text(cell)) for cell in cells)]
    found += [] if words is None else [tag("td", text(words), class_="words")]
    return tag("tr", found, **attributes)


def table(columns: Iterable[str], lines: Iterable[str], label: str, key: str | None = None) -> str:
    """A wide table under the titles of its columns; `key`: its id in the page."""
    head = tag("thead", tag("tr", (tag("th", text(name), scope="col") for name in columns)))
    return scrolled(tag("table", head + tag("tbody", lines), id=key), label)


def dot(colour: str) -> str:
    return tag("span", class_="dot", style=f"background:{colour}")
