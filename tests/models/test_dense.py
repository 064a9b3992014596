"""Dense convolutions by products of matrices: torch's within rounding where they train, to the bit elsewhere."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
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

PATCHES = [(1, 1, 0, side) for side in (1, 2, 4)] + [(1, 2, 0, 5), (2, 2, 0, 8), (2, 2, 0, 7), (4, 4, 0, 9)]
WHOLE = [(3, 1, 1, 1), (3, 1, 1, 2), (5, 1, 2, 3), (7, 1, 3, 4), (7, 2, 3, 4), (3, 2, 1, 2), (3, 1, 0, 3), (4, 1, 1, 2)]
OTHER = [
    (3, 1, 1, 3),
    (7, 1, 3, 5),
    (1, 1, 0, 5),
    (2, 2, 0, 10),
    (2, 2, 1, 4),
    (3, 2, 1, 3),
    (9, 1, 4, 5),
    (3, 1, 3, 2),
]


@pytest.fixture(autouse=True)
def _on_such_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "_slow_gradients", lambda: True)


def laid_out(*shape: int) -> Tensor:
    """A map as training has it: channels-last."""
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


def gradients(out: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return torch.autograd.grad(out, of, torch.randn(out.shape, generator=generator, dtype=out.dtype))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "stride", "padding", "side"), [*PATCHES, *WHOLE])
def test_it_is_the_convolution(kernel: int, stride: int, padding: int, side: int, bias: bool) -> None:
    torch.manual_seed(0)
    layer = training_form(nn.Conv2d(5, 6, kernel, stride, padding, bias=bias))
    x = laid_out(4, 5, side, side).requires_grad_()
    y = layer(x)
    assert "Convolution" not in names(y)
    exact = F.conv2d(
        x.double(), *(None if p is None else p.double() for p in (layer.weight, layer.bias)), stride, padding
    )
    assert y.shape == exact.shape
    torch.testing.assert_close(y.double(), exact, atol=1e-5, rtol=1e-5)
    parameters = [x, *layer.parameters()]
    for own, other in zip(gradients(y, *parameters), gradients(exact.float(), *parameters), strict=True):
        torch.testing.assert_close(own, other, atol=1e-4, rtol=1e-4)


def names(y: Tensor) -> str:
    """The names of the operations that made y, and what they were given."""
    ahead, found = [y.grad_fn], ""
    while ahead:
        here = ahead.pop()
        if here is not None:
            found += here.name() + " "
            ahead += [before for before, _ in here.next_functions]
    return found


@pytest.mark.parametrize(("height", "width", "kernel", "padding"), [(1, 3, (3, 5), (1, 2)), (3, 2, (5, 3), (2, 1))])
def test_a_map_that_is_no_square(height: int, width: int, kernel: tuple[int, int], padding: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = training_form(nn.Conv2d(3, 4, kernel, padding=padding))
    x = laid_out(2, 3, height, width)
    y = layer(x)
    assert "Convolution" not in names(y)
    torch.testing.assert_close(y, F.conv2d(x, layer.weight, layer.bias, padding=padding), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "stride", "padding", "side"), OTHER)
def test_other_shapes_are_torchs(kernel: int, stride: int, padding: int, side: int) -> None:
    layer = training_form(nn.Conv2d(5, 6, kernel, stride, padding))
    x = laid_out(4, 5, side, side).requires_grad_()
    y = layer(x)
    assert "Convolution" in names(y)
    assert torch.equal(y, F.conv2d(x, layer.weight, layer.bias, stride, padding))


def test_patches_of_the_images_are_torchs() -> None:
    layer = training_form(nn.Conv2d(3, 6, 4, 4))
    assert "Convolution" in names(layer(laid_out(2, 3, 16, 16)))


def test_in_evaluation_and_without_gradients_it_is_torchs_to_the_bit() -> None:
    torch.manual_seed(0)
    layer = training_form(nn.Conv2d(64, 64, 3, padding=1))
    x = laid_out(8, 64, 2, 2)
    plain = F.conv2d(x, layer.weight, layer.bias, padding=1)
    assert torch.equal(layer.eval()(x), plain) and "Convolution" in names(layer(x))
    with torch.no_grad():
        assert torch.equal(layer.train()(x), plain)


@pytest.mark.parametrize("processor", ["AVX512", "DEFAULT", "AVX2"])
def test_only_where_it_was_measured(processor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)
    y = training_form(nn.Conv2d(4, 4, 1))(torch.randn(2, 4, 1, 1))
    assert ("Convolution" in names(y)) == (processor != "AVX2")


def test_under_autocast_in_float64_and_watched_it_is_torchs() -> None:
    layer = training_form(nn.Conv2d(4, 4, 1))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 4, 1, 1)).dtype is torch.bfloat16
    per_image = torch.func.vmap(layer)(torch.randn(2, 3, 4, 1, 1))
    assert per_image.shape == (2, 3, 4, 1, 1)
    assert layer(torch.randn(4, 1, 1)).shape == (4, 1, 1)  # one image without its batch
    assert "Convolution" in names(layer.double()(torch.randn(2, 4, 1, 1, dtype=torch.float64)))


def test_an_empty_batch_is_torchs() -> None:
    assert training_form(nn.Conv2d(4, 6, 3, padding=1))(torch.randn(0, 4, 2, 2)).shape == (0, 6, 2, 2)


def test_frozen_it_is_torchs() -> None:
    layer = training_form(nn.Conv2d(64, 64, 3, padding=1)).requires_grad_(False)
    x = laid_out(8, 64, 2, 2)
    assert torch.equal(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1))


def layouts(kernel: int, stride: int, padding: int) -> Iterator[tuple[Tensor, nn.Conv2d]]:
    """Maps in every layout that they are met in, ambiguous ones too, with weights in both."""
    for inputs, outputs, side in ((5, 6, 1), (5, 6, 2), (1, 6, 2), (5, 1, 2), (5, 6, 4)):
        for order in (torch.channels_last, torch.contiguous_format):
            for weights in (torch.channels_last, torch.contiguous_format):
                if side + 2 * padding >= kernel:
                    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding).to(memory_format=weights)  # type: ignore[call-overload]
                    yield torch.randn(3, inputs, side, side).contiguous(memory_format=order).requires_grad_(), layer


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 1, 0), (1, 2, 0), (2, 2, 0), (3, 1, 1), (7, 1, 3), (3, 1, 0)]
)
def test_results_lie_in_memory_as_torchs_do(kernel: int, stride: int, padding: int) -> None:
    for x, layer in layouts(kernel, stride, padding):
        theirs = layer(x)
        own = training_form(layer)(x)
        torch.manual_seed(0)
        dropped = F.dropout(theirs)
        torch.manual_seed(0)
        torch.testing.assert_close(F.dropout(own), dropped, atol=1e-5, rtol=1e-5)
        if theirs.is_contiguous():
            own.view(len(x), -1)
        for mine, other in zip(
            gradients(own, x, *layer.parameters()), gradients(theirs, x, *layer.parameters()), strict=True
        ):
            torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)


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
