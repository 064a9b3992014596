"""The roadmap: the paper's GMACs at each step, the published stations, and switches that combine freely."""

from __future__ import annotations

import itertools

import pytest
import torch

from levelfield.cost import count_macs
from levelfield.errors import UserError
from levelfield.models import create_model
from levelfield.models.families.convnext_roadmap import STORY, Roadmap, Switches, after_step

DETERMINED = [(step, gmacs) for step, _, gmacs in STORY if step != "LayerNorm"]


@pytest.mark.parametrize(("step", "gmacs"), DETERMINED)
def test_each_step_costs_what_the_paper_prints(step: str, gmacs: float) -> None:
    with torch.device("meta"):
        model = Roadmap(1000, after_step(step))
    assert count_macs(model, 224).total / 1e9 == pytest.approx(gmacs, rel=0.02)


def test_every_step_turns_one_switch_so_that_none_is_turned_unsaid() -> None:
    assert [len(change) for _, change, _ in STORY] == [0, *[1] * (len(STORY) - 1)]
    assert Roadmap(2, after_step("separate downsampling")).levels[0][0].layer_scale is None


def test_swapping_the_norm_changes_no_macs() -> None:
    with torch.device("meta"):
        before, after = (Roadmap(1000, after_step(step)) for step in ("fewer norms", "LayerNorm"))
    assert count_macs(before, 224).total == count_macs(after, 224).total


def test_the_last_step_is_station_five() -> None:
    assert after_step("layer scale") != Switches()
    with torch.device("meta"):
        ours, station = Roadmap(200, after_step("layer scale")), create_model("roadmap_5")
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in station.state_dict().items()}


@pytest.mark.parametrize(
    ("base", "switch"),
    [("roadmap_1", change) for _, change, _ in STORY[1:]]
    + [("roadmap_5", {key: getattr(Switches(), key)}) for _, change, _ in STORY[1:] for key in change],
)
def test_one_switch_from_either_end_still_runs(base: str, switch: dict[str, object]) -> None:
    torch.manual_seed(0)
    small = {"depths": (1, 1, 1, 1), "width": 8}
    model = create_model(base, num_classes=3, image_size=64, **(small | switch | {"depths": (1, 1, 1, 1)}))
    logits = model(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 3)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_all_structural_switches_combine() -> None:
    keys = ("patchify", "depthwise", "inverted", "moved_up", "fewer_norms", "separate_downsampling", "widen_first")
    for values in itertools.product((False, True), repeat=len(keys)):
        with torch.device("meta"):
            model = Roadmap(2, Switches(depths=(1, 1), width=8, **dict(zip(keys, values, strict=True)))).eval()
            assert model(torch.empty(1, 3, 32, 32)).shape == (1, 2)


def test_a_misspelt_switch_is_named() -> None:
    with pytest.raises(UserError, match="did you mean 'moved_up'"):
        create_model("roadmap_1", moved_upp=True)
