"""Single test images in a list: a small picture where there is one, the label, and who takes it for what."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable

from levelfield.page.markup import tag, text

ImageOf = Callable[[int], bytes | None]
"""From test index to PNG; None where there is no picture."""


def listed_image(index: int, label: str, votes: Iterable[str], image_of: ImageOf | None) -> str:
    """An entry of a list: the test image `index` of class `label`; `votes`: of `vote`."""
    png = image_of(index) if image_of else None
    picture = ""
    if png:
        data = base64.b64encode(png).decode()
        picture = f'<img alt="Test image {index}, {text(label)}" src="data:image/png;base64,{data}">'
    name = tag("strong", text(label)) + " " + tag("span", f"#{index}", class_="muted")
    return tag("li", picture + tag("div", name + tag("dl", votes)))


def vote(predicted: str, label: str, who: str) -> str:
    """What an image is taken for, and by whom (HTML)."""
    term = tag("dt", text(predicted), class_="right" if predicted == label else "wrong")
    return tag("div", term + tag("dd", who))


def listed(images: Iterable[str]) -> str:
    return tag("ul", images, class_="examples")
