"""Where each row looks: what `levelfield analyze overlays` found, image by image as a small grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from levelfield.page.listed_images import ImageOf
from levelfield.page.markup import bullets, paragraph, tag, text
from levelfield.page.section import Section
from levelfield.page.sections.measured_differences import left_out, of_other_runs
from levelfield.tables.number_format import percent
from levelfield.tables.table import StudyTable

Answer = Mapping[str, Any]
HOW = (
    "Grad-CAM: yellow where the last map with places of the image speaks for the class that the row takes it for, each "
    "picture from its own lowest to its own highest place, and dark throughout where nothing speaks for it. Rollout "
    "(ViT, DeiT): how much of each place reaches what the classifier reads, through attention alone. They describe "
    "what an answer rests on, not whether it is right, and no verdict is given."
)


def overlays(table: StudyTable, answer: Answer, image_of: ImageOf | None) -> Section:
    """A card an image: the picture, then of each row its overlays and what it takes the image for."""
    several = len(answer["panels"]) > 1
    parts = [of_other_runs(table, answer, "overlays")]
    if image_of is None:
        parts.append(paragraph("This page was written without pictures of test images; overlays.json has them."))
    else:
        which = "those that the rows disagree on most" if answer["chosen"] == "most disagreed" else "chosen by hand"
        parts.append(paragraph(f"Test images, {which}. {HOW}", class_="note"))
        for panel in answer["panels"]:
            rows = panel["rows"]
            if several:
                parts.append(tag("h3", text(panel["panel"])))
            cards = (_card(rows, place) for place in range(len(rows[0]["images"])))
            parts += [tag("ul", cards, class_="overlays"), bullets(map(_of_row, rows))]
    parts.append(left_out(answer))
    return Section("analysis-overlays", "Where it looks", "".join(parts))


def _card(rows: Sequence[Answer], place: int) -> str:
    first = rows[0]["images"][place]
    index, label = first["index"], first["label"]
    name = tag("span", f"#{index}", class_="muted") + tag("strong", text(label))
    tiles = [_tile(name, [(f"The image {index} itself, {label}", first["picture"])])]
    for row in rows:
        image = row["images"][place]
        found = {"Grad-CAM": image["grad_cam"], "Rollout": image["rollout"]}
        pictures = [
            (f"{kind} of {row['title']} on image {index}, taken for {image['predicted']}", shown["overlay"])
            for kind, shown in found.items() if shown is not None
        ]  # fmt: skip
        both = " (Grad-CAM, rollout)" if len(pictures) > 1 else ""
        said = f"{image['predicted']} {percent(100 * image['probability'], 0)}\u00a0%"
        caption = tag("span", text(row["title"] + both), class_="muted")
        caption += tag("span", text(said), class_="right" if image["predicted"] == label else "wrong")
        tiles.append(_tile(caption, pictures, data_of=row["row"]))
    return tag("li", tiles)


def _tile(caption: str, pictures: Sequence[tuple[str, str]], **more: object) -> str:
    """Pictures (what they show, PNG in base64) beside one another, above `caption` (HTML)."""
    images = "".join(
        f'<img alt="{text(alt)}" src="data:image/png;base64,{data}" title="{text(alt)}">' for alt, data in pictures
    )
    return tag("div", tag("div", images, class_="pair") + caption, class_="tile", **more)


def _of_row(row: Answer) -> str:
    layer = row["layer"]
    said = (
        f"{row['title']}: seed {row['seed']}, Grad-CAM of {layer['name']}, {layer['height']} x {layer['width']} places"
    )
    return said + (f"; rollout to the {row['read']}." if row["read"] else ".")
