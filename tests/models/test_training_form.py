"""The training form: it computes the network that it was made of, whatever a user did to its layers."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from types import MethodType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.models import create_model
from levelfield.models.kernels import dense
from levelfield.models.layers import Convolution, Depthwise
from levelfield.models.training_form import training_form
from levelfield.spec import QuantizeAware
from levelfield.training.fake_quantisation import fake_quantise
from levelfield.training.weighted_layers import weighted_layers


@pytest.fixture(autouse=True)
def _where_products_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "_slow_gradients", lambda: True)


def laid_out(*shape: int) -> Tensor:
    """A map as training has it: channels-last."""
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


def circular(layer: nn.Conv2d) -> None:
    def forward(self: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), weight, bias, groups=self.groups)

    layer._conv_forward = MethodType(forward, layer)  # type: ignore[method-assign]


def changed(**attributes: Any) -> Callable[[nn.Conv2d], None]:
    def change(layer: nn.Conv2d) -> None:
        for name, value in attributes.items():
            setattr(layer, name, value)

    return change


CHANGES = {
    "patched": circular,
    "int stride": changed(stride=1),
    "one stride": changed(stride=(1,)),
    "other strides": changed(stride=(1, 2)),
    "int padding": changed(padding=1),
    "no padding": changed(padding=(0, 0)),
    "same": changed(padding="same", _reversed_padding_repeated_twice=[1] * 4),
    "dilated": changed(dilation=(2, 2), padding=(2, 2)),
    "int dilation": changed(dilation=2, padding=2),
    "mode": changed(padding_mode="circular", _reversed_padding_repeated_twice=[1] * 4),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("name", CHANGES)
def test_a_layer_computes_what_it_was_changed_to(name: str, groups: int, when: str) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 4, 3, padding=1, groups=groups)
    plain = copy.deepcopy(layer)
    for one in (layer, plain):
        if when == "before" or one is plain:
            CHANGES[name](one)
    training_form(layer)
    if when == "after":
        CHANGES[name](layer)
    for side in (4, 6):
        x = laid_out(2, 4, side, side)
        torch.testing.assert_close(layer(x), plain(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(3, 8, 4, 4), (2, 3, 2, 2)),
        (nn.Conv2d(3, 8, 4, 4), (2, 3, 2, 8)),
        (nn.Conv2d(3, 8, 3), (2, 3, 1, 1)),
        (nn.Conv2d(3, 8, 7, 1, 1), (2, 3, 2, 2)),
        (nn.Conv2d(3, 8, 3, padding=1), (2, 4, 2, 2)),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), (2, 1, 4, 4)),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), (2, 4, 4, 4)),
        (nn.Conv2d(3, 8, 3, padding=1), (3,)),
    ],
    ids=str,
)
def test_what_torch_refuses_is_refused_as_torch_does(layer: nn.Conv2d, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, requires_grad=True)
    with pytest.raises(RuntimeError) as theirs:
        layer(x)
    with pytest.raises(RuntimeError, match=re.escape(str(theirs.value))):
        training_form(layer)(x)


@pytest.mark.parametrize("groups", [1, 8])
def test_one_image_without_its_batch(groups: int) -> None:
    layer = nn.Conv2d(8, 8, 5, padding=2, groups=groups)
    image = torch.randn(8, 2, 2)
    before = layer(image)
    assert torch.equal(training_form(layer)(image), before)


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize(("kernel", "side"), [(1, 2), (3, 2), (5, 3), (7, 2)])
def test_gradients_have_gradients(kernel: int, side: int, groups: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 8, kernel, padding=kernel // 2, groups=groups)
    x = laid_out(2, 8, side, side).requires_grad_()

    def penalty() -> tuple[Tensor, ...]:
        first = torch.autograd.grad(layer(x).pow(3).sum(), [x, *layer.parameters()], create_graph=True)
        return torch.autograd.grad(sum(one.pow(2).sum() for one in first), [x, *layer.parameters()])

    theirs = penalty()
    training_form(layer)
    for own, other in zip(penalty(), theirs, strict=True):
        torch.testing.assert_close(own, other, atol=1e-2, rtol=1e-3)


def test_hooks_and_prune_take_it_for_the_layer_that_it_is() -> None:
    model = training_form(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=4)))
    calls: list[int] = []
    for layer in model:
        layer.register_forward_hook(lambda *_: calls.append(1))
    assert len(weighted_layers(model, "recipe.prune", "")) == 2 and calls == []


def test_a_network_that_trains_to_int8_has_the_layers_too() -> None:
    spec = QuantizeAware.model_validate({})
    model = fake_quantise(training_form(nn.Sequential(nn.Conv2d(4, 4, 5, padding=2, groups=4))), spec)
    assert isinstance(model[0], Depthwise)  # type: ignore[index]


@pytest.mark.parametrize(("kernel", "padding", "groups"), [(1, 0, 1), (3, 1, 1), (5, 2, 4)])
def test_gradients_of_weights_lie_as_the_weights_do(kernel: int, padding: int, groups: int) -> None:
    """Else several processes copy them into their buckets, and torch warns."""
    layer = training_form(nn.Conv2d(4, 4, kernel, padding=padding, groups=groups, bias=False))
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    layer(laid_out(2, 4, 2, 2)).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.stride() == layer.weight.stride()


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(8, 16, 3, padding=1, groups=8),
        nn.Conv2d(8, 8, 3, padding=1, groups=4),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8),
        nn.Conv2d(8, 8, (3, 5), padding=(1, 2), groups=8),
        nn.Conv2d(8, 8, 3, stride=(1, 2), padding=1, groups=8),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect", groups=8),
        nn.Conv2d(8, 8, 9, padding=4, groups=8),
        nn.Conv2d(8, 8, 3, padding="same", groups=8),
        nn.Conv1d(8, 8, 3),
    ],
    ids=str,
)
def test_what_is_another_layer_stays(layer: nn.Module) -> None:
    kind = type(layer)
    assert type(training_form(layer)) is kind


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_a_depthwise_convolution_is_ours(stride: int, bias: bool) -> None:
    layer = nn.Conv2d(8, 8, 5, stride=stride, padding=2, groups=8, bias=bias)
    x = torch.randn(2, 8, 9, 7)
    before = layer(x)
    assert type(training_form(layer)) is Depthwise and torch.equal(layer(x), before)


NARROW = {"width_factor": 0.25, "depth_factor": 0.34}
NETWORKS = [
    ("roadmap_1", NARROW), ("roadmap_5", NARROW), ("roadmap_5", {**NARROW, "depthwise": False}),
    ("timm:resnet10t", {}), ("timm:convnext_atto", {}), ("timm:test_efficientnet", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), NETWORKS)
def test_a_network_in_training_form_is_the_same_network(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(1)
    plain = create_model(name, 10, 32, **options).to(memory_format=torch.channels_last)
    form = training_form(copy.deepcopy(plain))
    assert list(form.state_dict()) == list(plain.state_dict())
    assert sum(type(module) is Convolution for module in form.modules()) > 3
    images = torch.randn(8, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    assert torch.equal(form.eval()(images), plain.eval()(images))
    own, theirs = (all_gradients(network.train(), images) for network in (form, plain))
    assert 0 < torch.dist(own, theirs) < 1e-4 * theirs.norm()


def all_gradients(network: nn.Module, images: Tensor) -> Tensor:
    torch.manual_seed(0)
    network(images).square().mean().backward()
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None])
