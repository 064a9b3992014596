"""Dense convolutions by products of matrices: torch's within rounding where they train, to the bit elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield import native
from levelfield.models.kernels import dense
from levelfield.models.training_form import training_form

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
    monkeypatch.setattr(native, "library", lambda: object())
    y = training_form(nn.Conv2d(4, 4, 1))(torch.randn(2, 4, 1, 1))
    assert ("Convolution" in names(y)) == (processor != "AVX2")


def test_without_the_loops_it_is_plain_torch_as_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(native, "library", lambda: None)
    assert "Convolution" in names(training_form(nn.Conv2d(4, 4, 1))(torch.randn(2, 4, 1, 1)))


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
