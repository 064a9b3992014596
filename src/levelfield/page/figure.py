"""A chart's place in the page: its title, how to read it, and the buttons that save it."""

from __future__ import annotations

from collections.abc import Iterable

from levelfield.page.charts.chart import Chart
from levelfield.page.markup import paragraph, tag, text


def figures(charts: Iterable[Chart]) -> str:
    """Places for `charts`, two beside each other where there is room."""
    return tag("div", map(figure, charts), class_="charts")


def figure(chart: Chart) -> str:
    caption = tag("figcaption", tag("h3", text(chart.title)) + paragraph(chart.note))
    place = tag("div", class_="chart dense" if chart.dense else "chart", id=chart.key, role="img", aria_label=chart.alt)
    by_keyboard = {"tabindex": 0, "role": "region", "aria_label": chart.title} if chart.dense else {}
    scroll = tag("div", place, class_="chart-scroll", **by_keyboard)
    saved = (("svg", "SVG", "the picture"), ("data", "CSV", "its data"))
    buttons = (save(kind, chart.key, name, f"Save {what} of {chart.title}") for kind, name, what in saved)
    inside = caption + tag("div", buttons, class_="save") + scroll + _figures_of(chart)
    return tag("figure", inside, class_="wide" if chart.wide else None)


def _figures_of(chart: Chart) -> str:
    """Where the script puts the chart's data as a table once it is opened: what its tooltips say, for a keyboard."""
    of = tag("span", text(f" of {chart.title}"), class_="hidden-text")
    return tag("details", tag("summary", "The figures" + of), class_="figures", data_figures_of=chart.key)


def save(kind: str, of: str, name: str, said: str) -> str:
    """A button by which the script saves what is `of`: as `kind` a chart's "svg" or "data", a "table", an "image"."""
    return tag("button", text(name), type="button", data_save=kind, data_of_id=of, aria_label=f"{name}: {said}")
