"""timm's networks with levelfield's layers are the same networks: names, weights, results within rounding."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Attention
from torch import Tensor, nn

from levelfield import native
from levelfield.models import create_model
from levelfield.models.adapt_timm.own_layers import OwnAttention
from levelfield.models.layers import Depthwise
from levelfield.models.training_form import training_form

NETWORKS = ("efficientnet_b0_s1", "timm:mobilenetv3_small_050", "timm:test_efficientnet", "timm:convnext_atto")


def results(model: nn.Module, images: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
    """Outputs, then the gradient of every parameter."""
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        out = model(images)
    out.float().square().mean().backward()
    yield out.detach()
    for parameter in model.parameters():
        assert parameter.grad is not None
        yield parameter.grad


@pytest.mark.parametrize("name", NETWORKS)
def test_in_training_form_a_network_is_what_timm_made(name: str) -> None:
    torch.manual_seed(1)
    twin = create_model(name, num_classes=10, image_size=32).to(memory_format=torch.channels_last)
    model = training_form(copy.deepcopy(twin))
    assert sum(type(module) is Depthwise for module in model.modules()) > 1
    images = torch.randn(8, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    assert list(model.state_dict()) == list(twin.state_dict())
    exact = list(results(model, images, torch.float32))
    theirs = list(results(twin, images, torch.float32))
    if native.has_wide_vectors():
        assert all(map(torch.equal, exact, theirs))
    else:
        torch.testing.assert_close(exact[0], theirs[0], atol=1e-4, rtol=1e-4)
        assert math.dist(flat(exact[1:]), flat(theirs[1:])) < 1e-4 * math.hypot(*flat(theirs[1:]))
    model.zero_grad()
    twin.zero_grad()
    own, other = (list(results(network, images, torch.bfloat16)) for network in (model, twin))
    assert torch.equal(own[0], other[0])
    rounding, theirs = (math.dist(flat(exact[1:]), flat(gradients[1:])) for gradients in (own, other))
    assert 0 < rounding < 1.2 * theirs


def flat(values: list[Tensor]) -> list[float]:
    return torch.cat([value.flatten().float() for value in values]).tolist()


@pytest.mark.parametrize("name", ["deit_tiny_p4", "timm:test_vit"])
def test_attention_is_timms_in_float32_and_by_products_where_bf16_has_gradients(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    model = create_model(name, num_classes=10, image_size=32)
    twin = copy.deepcopy(model)
    attentions = [module for module in twin.modules() if type(module) is OwnAttention]
    for module in attentions:
        module.__class__ = Attention
    fused: list[tuple[int, ...]] = []
    kept = F.scaled_dot_product_attention
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda q, *how, **named: fused.append(q.shape) or kept(q, *how, **named)
    )
    images = torch.randn(8, 3, 32, 32)
    exact = list(results(model, images, torch.float32))
    assert len(fused) == len(attentions) > 1
    for own, other in zip(exact, results(twin, images, torch.float32), strict=True):
        assert torch.equal(own, other)
    fused.clear()
    model.zero_grad()
    own = list(results(model, images, torch.bfloat16))
    assert fused == [] and all(module.fused_attn for module in model.modules() if type(module) is OwnAttention)
    twin.zero_grad()
    other = list(results(twin, images, torch.bfloat16))
    assert len(fused) == len(attentions)
    rounding, theirs = (math.dist(flat(exact), flat(gradients)) for gradients in (own, other))
    assert 0 < rounding < 1.5 * theirs
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        model.eval()(images)
    assert len(fused) == 2 * len(attentions)
