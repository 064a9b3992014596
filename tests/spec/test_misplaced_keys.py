"""A key that is given one level too high or too low is told the path at which it stands: every key of a run."""

from __future__ import annotations

import re
from typing import Any

import pytest

from levelfield.errors import UserError
from levelfield.spec import RunSpec
from levelfield.spec.values import places_of

BASE: dict[str, Any] = {"model": {"name": "resnet_nano"}, "data": {"name": "digits"}, "budget": {"steps": 1}}
PLACES = list(dict.fromkeys(places_of(RunSpec)))


def told(place: tuple[str, ...]) -> str | None:
    """What is said of a value at `place`; None where that is not an unknown key."""
    values: dict[str, Any] = {key: dict(part) for key, part in BASE.items()}
    here = values
    for key in place[:-1]:
        if not isinstance(here.setdefault(key, {}), dict):
            return None
        here = here[key]
    here[place[-1]] = 4
    try:
        RunSpec.parse(values, "run")
    except UserError as error:
        found = re.search(r"unknown key .*?; (.*)", str(error))
        return None if found is None else found[1]
    return None


@pytest.mark.parametrize("place", [place for place in PLACES if len(place) > 1], ids=".".join)
def test_a_key_one_level_too_high_is_told_its_place(place: tuple[str, ...]) -> None:
    for left_out in range(len(place) - 1):
        given = place[:left_out] + place[left_out + 1 :]
        said = told(given)
        if said is None or given in PLACES or "it belongs to" in said:
            continue
        assert said.startswith("its place is ") and ".".join(place) in said.split(), (given, said)


@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_a_key_one_level_too_low_is_told_its_place(place: tuple[str, ...]) -> None:
    looked = 0
    for wrong in ("recipe", "budget", "data", "model", "execution"):
        given = (wrong, *place)
        said = told(given)
        if given in PLACES or said is None or "it belongs to" in said:
            continue
        looked += 1
        assert said.startswith("its place is ") and ".".join(place) in said.split(), (given, said)
    assert looked, place


def test_the_two_of_the_report() -> None:
    assert told(("recipe", "budget", "epochs")) == "its place is budget.epochs"
    assert told(("augment", "crop", "padding_px")) == "its place is recipe.augment.crop.padding_px"
    assert told(("recipe", "optimzer", "lr")) == "did you mean 'optimizer'?"


def test_most_keys_were_looked_at() -> None:
    given = [place[:n] + place[n + 1 :] for place in PLACES for n in range(len(place) - 1)]
    said = [words for place in given if place not in PLACES and (words := told(place)) is not None]
    assert sum(words.startswith("its place is ") for words in said) > len(PLACES) / 2
