"""Dense convolutions by products of matrices: torch's within rounding where they train, to the bit elsewhere."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.models import create_model
from levelfield.models.kernels import dense
from levelfield.models.layers import Convolution, Depthwise
from levelfield.models.training_form import training_form

PATCHES = [(1, 1, 0, side) for side in (1, 2, 4)] + [(1, 2, 0, 5), (2, 2, 0, 8), (2, 2, 0, 7), (4, 4, 0, 9)]
WHOLE = [(3, 1, 1, 1), (3, 1, 1, 2), (5, 1, 2, 3), (7, 1, 3, 4), (7, 2, 3, 4), (3, 2, 1, 2), (3, 1, 0, 3), (4, 1, 1, 2)]
OTHER = [(3, 1, 1, 3), (7, 1, 3, 5), (1, 1, 0, 5), (2, 2, 0, 10), (2, 2, 1, 4), (3, 2, 1, 3)]


@pytest.fixture(autouse=True)
def _on_such_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "_slow_gradients", lambda: True)


def gradients(out: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return torch.autograd.grad(out, of, torch.randn(out.shape, generator=generator, dtype=out.dtype))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "stride", "padding", "side"), [*PATCHES, *WHOLE])
def test_it_is_the_convolution(kernel: int, stride: int, padding: int, side: int, bias: bool) -> None:
    torch.manual_seed(0)
    layer = training_form(nn.Conv2d(5, 6, kernel, stride, padding, bias=bias))
    x = torch.randn(4, 5, side, side, requires_grad=True)
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
    x = torch.randn(2, 3, height, width)
    y = layer(x)
    assert "Convolution" not in names(y)
    torch.testing.assert_close(y, F.conv2d(x, layer.weight, layer.bias, padding=padding), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "stride", "padding", "side"), OTHER)
def test_other_shapes_are_torchs(kernel: int, stride: int, padding: int, side: int) -> None:
    layer = training_form(nn.Conv2d(5, 6, kernel, stride, padding))
    x = torch.randn(4, 5, side, side, requires_grad=True)
    y = layer(x)
    assert "Convolution" in names(y)
    assert torch.equal(y, F.conv2d(x, layer.weight, layer.bias, stride, padding))


def test_patches_of_the_images_are_torchs() -> None:
    layer = training_form(nn.Conv2d(3, 6, 4, 4))
    assert "Convolution" in names(layer(torch.randn(2, 3, 16, 16)))


def test_in_evaluation_and_without_gradients_it_is_torchs_to_the_bit() -> None:
    torch.manual_seed(0)
    layer = training_form(nn.Conv2d(64, 64, 3, padding=1))
    x = torch.randn(8, 64, 2, 2)
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
        nn.Conv2d(8, 8, 3, padding="same"),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2),
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
