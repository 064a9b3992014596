"""Every key of a run, a recipe and a study says what it does."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from levelfield.spec import RunSpec
from levelfield.spec.augment import Augment
from levelfield.spec.key_descriptions import descriptions
from levelfield.spec.schedule import Cosine
from levelfield.spec.values import models_in
from levelfield.studies.declared.study import StudySpec


def values(root: type[BaseModel]) -> list[type[BaseModel]]:
    """`root` and every value below it."""
    found = [root]
    for cls in found:
        below = [model for field in cls.model_fields.values() for model in models_in(field.annotation)]
        found += [model for model in dict.fromkeys(below) if model not in found]
    return found


@pytest.mark.parametrize("cls", dict.fromkeys([*values(RunSpec), *values(StudySpec)]), ids=lambda cls: cls.__name__)
def test_every_key_says_what_it_does(cls: type[BaseModel]) -> None:
    said = descriptions(cls)
    assert said.keys() == cls.model_fields.keys()
    for name, key in said.items():
        assert key.text.endswith("."), name
        assert "[" not in key.unit and len(key.text) > 8


def test_units_stand_apart_and_inherited_keys_are_there() -> None:
    said = descriptions(RunSpec)["data"]
    assert said.text == "The images." and said.unit == ""
    assert descriptions(Cosine)["final_lr"].text == "Learning rate at the phase's end."
    assert descriptions(Augment)["crop"].text.startswith("A random crop.")
    from levelfield.spec import DataSpec

    assert descriptions(DataSpec)["resize_px"] == (
        "Side to which images are resized before cropping. None: `image_size`.", "px"
    )  # fmt: skip
