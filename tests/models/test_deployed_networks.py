"""Every built-in network, and timm's, in deployed form: the numbers of the network itself."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from levelfield.errors import UserError
from levelfield.models import create_model, list_models, model_info
from levelfield.models.deploy import deployed
from levelfield.precision import cpu_has_bf16

SMALLEST = json.loads((Path(__file__).parent / "smallest_timm.json").read_text(encoding="utf-8"))
SLOW = {
    "deepseek_vit_412m", "gemma4_vit_167m", "mobilenetv5_base", "nasnetalarge", "pnasnet5large", "qwen3_vit_88m",
}  # fmt: skip
DRAWN = random.Random(7).sample(sorted(set(SMALLEST.values()) - SLOW), 16)
FOLDED = {"resnet18_s1": 20, "resnet_nano": 9, "resnet_mini": 4, "efficientnet_b0_s1": 49, "rexnet_tiny_0.35": 62}
"""Norms that a convolution comes before. Three of resnet_mini's come after a pool."""
EXACT = 1e-4
"""How far float32 logits may be off, as a share of the largest."""


def made(name: str, classes: int = 10) -> tuple[nn.Module, Tensor]:
    """A network whose norms have learned something, and images for it."""
    torch.manual_seed(3)
    side = min(model_info(name).image_size, 32)
    model = create_model(name, classes, side)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.3)
            with torch.no_grad():
                module.weight.uniform_(0.8, 1.2)
                module.bias.normal_(0, 0.1)
        elif isinstance(module, nn.Linear) and not module.weight.any():  # a classifier that begins at zero
            with torch.no_grad():
                module.weight.normal_(0, 0.02)
    return model, torch.randn(4, 3, side, side)


def logits(model: nn.Module, images: Tensor) -> Tensor:
    model.eval()
    with torch.inference_mode():
        out: Tensor = model(images)
    model.train()
    return out


def check_float32(name: str) -> None:
    model, images = made(name)
    expected = logits(model, images)
    form = deployed(model, images, torch.float32)
    found = logits(form, images)
    largest = expected.abs().max()
    off = (expected - found).abs().max()
    assert off <= EXACT * largest
    first, second = expected.topk(2).values.unbind(1)
    told_apart = first - second > 2 * EXACT * largest
    assert torch.equal(found.argmax(1)[told_apart], expected.argmax(1)[told_apart])
    assert form.account.logits_off == pytest.approx(float(off / largest), abs=1e-6) and form.account.own_off == 0


@pytest.mark.parametrize("name", list_models())
def test_built_in_networks_are_deployed_exactly(name: str) -> None:
    check_float32(name)


@pytest.mark.parametrize("name", DRAWN)
def test_timms_networks_are_deployed_exactly(name: str) -> None:
    try:
        create_model(f"timm:{name}", 10, 32)
    except UserError:
        pytest.skip("cannot be fitted to 32 px")
    check_float32(f"timm:{name}")


@pytest.mark.parametrize("name", FOLDED)
def test_norms_are_folded_where_a_convolution_comes_before(name: str) -> None:
    model, images = made(name)
    form = deployed(model, images, torch.float32)
    norms = [sum(type(module) is nn.BatchNorm2d for module in each.modules()) for each in (model, form)]
    assert form.account.folded == FOLDED[name]
    if name.startswith(("resnet", "rexnet")):  # timm's EfficientNet has norms of another class
        assert norms[0] - norms[1] == FOLDED[name]


@pytest.mark.skipif(not cpu_has_bf16(), reason="no bf16 instructions")
@pytest.mark.parametrize("name", [*FOLDED, "outgrid_nano", "convnext_nano_p2", "vit_mini", "swin_tiny_p2"])
def test_bf16_is_no_further_from_float32_than_the_network_in_bf16(name: str) -> None:
    model, images = made(name)
    exact = logits(model, images)
    with torch.autocast("cpu", torch.bfloat16):
        own = logits(model, images)
    form = deployed(model, images, torch.bfloat16)
    found = logits(form, images)
    largest = exact.abs().max()
    assert found.dtype is own.dtype is torch.bfloat16
    assert (found - exact).abs().max() <= 2 * (own - exact).abs().max() + 5e-3 * largest
    assert form.account.packed == form.account.layers > 0
