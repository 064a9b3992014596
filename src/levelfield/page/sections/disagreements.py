"""The test images on which the rows disagree most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from levelfield.page.charts.chart import colours
from levelfield.page.listed_images import ImageOf, listed, listed_image, vote
from levelfield.page.markup import dot, paragraph, tag, text
from levelfield.page.section import Section
from levelfield.tables.prediction_analysis import Disagreement
from levelfield.tables.table import StudyTable


def disagreements(
    table: StudyTable, key: str, of: str, found: Sequence[Disagreement], classes: Sequence[str],
    image_of: ImageOf | None,
) -> Section | None:  # fmt: skip
    """Test images on which the rows disagree most, with what each predicts."""
    if not found:
        return None
    colour, title = colours(table.rows), {row.name: row.title for row in table.rows}
    items = []
    for example in found:
        label = classes[example.label]
        voters = _voters(example, colour, title)
        votes = (vote(classes[predicted], label, dots) for predicted, dots in voters.items())
        items.append(listed_image(example.index, label, votes, image_of))
    note = (
        "The images on whose class the rows disagree most (first seed of each). Bold: the label; dots: who says what."
    )
    return Section(key, f"Most disagreed test images{of}", paragraph(note, class_="note") + listed(items))


def _voters(example: Disagreement, colour: Mapping[str, str], title: Mapping[str, str]) -> dict[int, str]:
    """By predicted class, the dots of the rows that predict it, the most frequent class first."""
    dots: dict[int, list[str]] = {}
    for name, predicted in example.predicted.items():
        who = tag("span", text(title[name]), class_="hidden-text")
        mark = tag("span", dot(colour[name]) + who, data_of=name, title=title[name])
        dots.setdefault(predicted, []).append(mark)
    return {vote: "".join(found) for vote, found in sorted(dots.items(), key=lambda item: -len(item[1]))}
