"""The test images on which the rows disagree most."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence

from levelfield.page.charts.chart import colours
from levelfield.page.markup import dot, paragraph, tag, text
from levelfield.page.section import Section
from levelfield.tables.prediction_analysis import Disagreement
from levelfield.tables.table import StudyTable


def disagreements(
    table: StudyTable, key: str, of: str, found: Sequence[Disagreement], classes: Sequence[str],
    image_of: Callable[[int], bytes | None] | None,
) -> Section | None:  # fmt: skip
    """Test images on which the rows disagree most, with what each predicts."""
    if not found:
        return None
    colour, title = colours(table.rows), {row.name: row.title for row in table.rows}
    items = []
    for example in found:
        label = classes[example.label]
        png = image_of(example.index) if image_of else None
        picture = ""
        if png:
            data = base64.b64encode(png).decode()
            picture = f'<img alt="Test image {example.index}, {text(label)}" src="data:image/png;base64,{data}">'
        votes = tag("dl", (
            tag("div", [tag("dt", text(classes[vote]), class_="right" if vote == example.label else "wrong"),
                        tag("dd", dots)])
            for vote, dots in _voters(example, colour, title).items()
        ))  # fmt: skip
        name = tag("strong", text(label)) + " " + tag("span", f"#{example.index}", class_="muted")
        items.append(tag("li", picture + tag("div", name + votes)))
    note = (
        "The images on whose class the rows disagree most (first seed of each). Bold: the label; dots: who says what."
    )
    content = paragraph(note, class_="note") + tag("ul", items, class_="examples")
    return Section(key, f"Most disagreed test images{of}", content)


def _voters(example: Disagreement, colour: Mapping[str, str], title: Mapping[str, str]) -> dict[int, str]:
    """By predicted class, the dots of the rows that predict it, the most frequent class first."""
    dots: dict[int, list[str]] = {}
    for name, vote in example.predicted.items():
        who = tag("span", text(title[name]), class_="hidden-text")
        mark = tag("span", dot(colour[name]) + who, data_of=name, title=title[name])
        dots.setdefault(vote, []).append(mark)
    return {vote: "".join(found) for vote, found in sorted(dots.items(), key=lambda item: -len(item[1]))}
