"""A section of the page as a value, and the table of contents that is made of several."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from levelfield.page.charts.chart import Chart
from levelfield.page.markup import tag, text


@dataclass(frozen=True)
class Section:
    """`anchor`: its id, where a link leads; `title`: plain text; `body`: HTML. `style`: its classes in the style sheet.

    `charts`: what the script draws in it. `in_contents`: whether the table of contents names it.
    """

    anchor: str
    title: str
    body: str
    style: str | None = None
    charts: tuple[Chart, ...] = ()
    in_contents: bool = True

    def html(self) -> str:
        return tag("section", tag("h2", text(self.title)) + self.body, id=self.anchor, class_=self.style)


def contents(sections: Iterable[Section]) -> str:
    """Links to those sections that the table of contents names."""
    links = (tag("a", text(each.title), href=f"#{each.anchor}") for each in sections if each.in_contents)
    return tag("nav", tag("ul", (tag("li", link) for link in links)), aria_label="Sections")
