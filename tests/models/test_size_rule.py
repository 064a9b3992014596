"""Every built-in network of ours has a width and a depth rule, and stands at each position of its switches."""

from __future__ import annotations

import pytest
import torch

from levelfield.cost import count_macs, count_parameters
from levelfield.errors import UserError
from levelfield.known_models import built_in
from levelfield.models import create_model, list_models, on_meta
from levelfield.models.size_rule import SIZE_OPTIONS

SIZED = [name for name, known in built_in().items() if set(SIZE_OPTIONS) <= (known.info.options or set())]
SWITCHED = [
    (name, switch, position)
    for name, known in built_in().items()
    for switch, positions in known.info.switches.items()
    for position in positions[1:]
]


def test_all_families_of_ours_have_the_rule() -> None:
    families = {built_in()[name].info.family for name in SIZED}
    assert families == {"ConvNeXt", "ConvNeXt roadmap", "OutGridViT", "ReXNet", "ResNet", "ViT"}


@pytest.mark.parametrize("name", SIZED)
def test_wider_and_deeper_are_larger(name: str) -> None:
    info, params, _ = built_in()[name]
    wide = count_parameters(on_meta(name, width_factor=2.0)).total
    assert 2.5 * params < wide < 4.5 * params
    assert count_parameters(on_meta(name, width_factor=0.5)).total < params / 1.9
    assert count_parameters(on_meta(name, depth_factor=2.0)).total > 1.2 * params
    for option in SIZE_OPTIONS:
        with pytest.raises(UserError, match=f"{option} 0 must be a positive number"):
            on_meta(name, **{option: 0})
    assert info.switches.keys().isdisjoint(SIZE_OPTIONS)


@pytest.mark.parametrize("name", ["outgrid_nano", "resnet_nano", "resnet_mini", "convnext_nano_p2", "vit_mini"])
def test_another_size_computes_and_learns(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, 5, 32, width_factor=1.3, depth_factor=2.0)
    model(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(("name", "switch", "position"), SWITCHED)
def test_every_position_of_every_switch_is_another_network(name: str, switch: str, position: object) -> None:
    """Other parameters, other multiply-accumulates, or (activations, orders) other modules."""
    info, params, macs = built_in()[name]
    turned = on_meta(name, **{switch: position})
    counts = count_parameters(turned).total, count_macs(turned, info.image_size).total
    assert counts != (params, macs) or repr(turned) != repr(on_meta(name))


def test_small_members_are_of_one_size() -> None:
    """As `small_members.py` says: within 4 % of 0.6 million parameters at 100 classes."""
    sizes = {name: {} for name in list_models() if name.endswith("_0.6m")} | {
        "outgrid_nano": {},
        "convnext_nano_p2": {"width_factor": 1.18},
        "vit_mini": {"depth_factor": 2.0},
    }
    assert len(sizes) == 8
    for name, options in sizes.items():
        params = count_parameters(create_model(name, num_classes=100, image_size=32, **options)).total
        assert params == pytest.approx(600_000, rel=0.04), name
