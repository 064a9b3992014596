"""Images of a size that a built-in network cannot take are told as such, with a size that it can."""

from __future__ import annotations

import re

import pytest
import torch
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.known_models import built_in
from levelfield.models import on_meta
from levelfield.models.image_sizes import cannot_take
from levelfield.models.registry import size_misfit


def given(name: str, side: int) -> UserError | None:
    """What is said where a network is built for images of `side` px and given one of them; None where it takes it."""
    try:
        network = on_meta(name, 10, side)
        assert network.eval()(torch.empty(2, 3, side, side, device="meta")).shape == (2, 10)
    except UserError as error:
        return error
    except Exception as error:
        told = size_misfit(error, name, 10, side, {})
        assert told is not None
        return told
    return None


@pytest.mark.parametrize("name", built_in())
def test_a_network_takes_images_or_says_which_it_would(name: str) -> None:
    for side in (20, 33):
        told = given(name, side)
        if told is not None and "cannot take images" in str(told):  # else the family has a rule of its own, and says it
            (fits,) = re.findall(r"--image-size (\d+)$", str(told))
            assert int(fits) != side and given(name, int(fits)) is None


@pytest.mark.parametrize(
    "arguments",
    [
        "train --model roadmap_5 --data digits --set budget.steps=1",
        "train --model maxvit_nano_s1 --data digits --set budget.steps=1",
        "profile roadmap_5 --image-size 8 --seconds 0",
        "models roadmap_5 --image-size 8",
        "ablate roadmap_5 --data digits --match macs --only-write",
    ],
)
def test_commands_say_it(arguments: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(tmp_path)  # type: ignore[arg-type]
    result = CliRunner().invoke(app, arguments.split())
    assert isinstance(result.exception, UserError), result.output
    assert re.match(r"model '\w+' cannot take images of 8 px \(RuntimeError: .*\)\n", str(result.exception))
    assert str(result.exception).endswith("it can take 32 px: set data.image_size=32, or give --image-size 32")


def test_other_errors_are_not_the_images_fault() -> None:
    def broken(side_px: int) -> torch.nn.Module:
        raise RuntimeError("broken")

    assert cannot_take(RuntimeError("broken"), "mine", broken, 8) is None
    assert size_misfit(RuntimeError("broken"), "resnet18_s1", 10, 32, {}) is None  # which it takes
    assert size_misfit(KeyError("typo"), "roadmap_5", 10, 8, {}) is None
    assert size_misfit(RuntimeError("theirs"), "timm:resnet18", 10, 8, {}) is None
