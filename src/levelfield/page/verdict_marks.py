"""How the page marks a verdict: a sign, a class of the style sheet and a mid-tone, the same in every place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from levelfield.page.markup import tag, text
from levelfield.statistics import Verdict


@dataclass(frozen=True)
class Mark:
    """`sign`: one character, so that nothing rests on colour alone; `style`: a class; `colour`: of marks in charts."""

    sign: str
    style: str
    colour: str


MARKS: Final[dict[Verdict, Mark]] = {
    "better": Mark("▲", "better", "#2f9159"),
    "worse": Mark("▼", "worse", "#cc5564"),
    "equivalent": Mark("≈", "equal", "#3b82c4"),
    "undecided": Mark("?", "even", "#7d8590"),
    "too few seeds": Mark("–", "even", "#7d8590"),
}


def chip(verdict: Verdict, words: str = "") -> str:
    """The sign of `verdict` on its ground, before `words`."""
    mark = MARKS[verdict]
    sign = tag("span", mark.sign, aria_hidden="true")
    return tag("span", f"{sign} {text(words)}".strip(), class_=f"chip {mark.style}")
