"""The counter against multiplications counted one by one, against published figures, and as a good guest."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from levelfield.cost import MacCounter, count_macs, count_parameters
from levelfield.models import create_model, list_models, model_info

macs = sys.modules["levelfield.cost.macs"]


class Tally:
    """Multiplies scalars and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def dot(self, a: list[float], b: list[float]) -> float:
        total = 0.0
        for x, y in zip(a, b, strict=True):
            total += x * y
            self.count += 1
        return total

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        rows, columns = a.tolist(), b.t().tolist()
        return torch.tensor([[self.dot(row, column) for column in columns] for row in rows])

    def conv2d(self, x: Tensor, weight: Tensor, stride: int, padding: int, groups: int) -> Tensor:
        """Direct convolution; a tap on the padding multiplies too, as the padded image is an image."""
        x = F.pad(x, (padding,) * 4)
        out_channels, group_width, kh, kw = weight.shape
        height, width = (x.shape[2] - kh) // stride + 1, (x.shape[3] - kw) // stride + 1
        out = torch.zeros(x.shape[0], out_channels, height, width)
        for n, c, i, j in itertools.product(range(x.shape[0]), range(out_channels), range(height), range(width)):
            first = c // (out_channels // groups) * group_width
            patch = x[n, first : first + group_width, i * stride : i * stride + kh, j * stride : j * stride + kw]
            out[n, c, i, j] = self.dot(patch.flatten().tolist(), weight[c].flatten().tolist())
        return out


class Attention(nn.Module):
    """One-head attention over the pixels, by `form` of the products."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.qkv = nn.Linear(3, 12, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x.flatten(2).transpose(1, 2)).unsqueeze(1).chunk(3, -1)
        if self.form == "fused":
            return F.scaled_dot_product_attention(q, k, v)[:, 0]
        if self.form == "einsum":
            weights = torch.einsum("bhld,bhsd->bhls", q, k).mul(0.5).softmax(-1)
            return torch.einsum("bhls,bhsd->bhld", weights, v)[:, 0]
        return ((q @ k.transpose(-2, -1) * 0.5).softmax(-1) @ v)[:, 0]


def conv_by_hand(conv: nn.Conv2d) -> Callable[[Tally, Tensor], Tensor]:
    return lambda tally, x: tally.conv2d(x, conv.weight, conv.stride[0], int(conv.padding[0]), conv.groups)


def attention_by_hand(module: Attention) -> Callable[[Tally, Tensor], Tensor]:
    def run(tally: Tally, x: Tensor) -> Tensor:
        q, k, v = tally.matmul(x[0].flatten(1).t(), module.qkv.weight.t()).chunk(3, -1)
        return tally.matmul((tally.matmul(q, k.t()) * 0.5).softmax(-1), v)[None]

    return run


def cases() -> dict[str, tuple[nn.Module, Callable[[Tally, Tensor], Tensor]]]:
    convs = {
        "plain": nn.Conv2d(3, 4, 3, padding=1, bias=False),
        "strided": nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
        "patches": nn.Conv2d(3, 5, 2, stride=2, bias=False),
        "grouped": nn.Conv2d(3, 6, 3, groups=3, bias=False),
        "pointwise": nn.Conv2d(3, 7, 1, bias=False),
    }
    attentions = {f"attention-{form}": Attention(form) for form in ("fused", "einsum", "products")}
    linear = nn.Sequential(nn.Flatten(), nn.Linear(48, 5, bias=False))
    return {
        **{name: (conv, conv_by_hand(conv)) for name, conv in convs.items()},
        **{name: (module, attention_by_hand(module)) for name, module in attentions.items()},
        "linear": (linear, lambda tally, x: tally.matmul(x.flatten(1), linear[1].weight.t())),
    }


@pytest.mark.parametrize("name", cases())
def test_counts_what_scalar_loops_multiply(name: str) -> None:
    torch.manual_seed(0)
    module, by_hand = cases()[name]
    tally, image = Tally(), torch.randn(1, 3, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(by_hand(tally, image), module(image), rtol=1e-4, atol=1e-5)
    assert count_macs(module, image_size=4).total == tally.count


def test_transposed_convolution_multiplies_each_input_by_each_tap() -> None:
    assert count_macs(nn.ConvTranspose2d(3, 5, 2, stride=2), image_size=4).total == 3 * 4 * 4 * 5 * 2 * 2


def test_kinds_add_up_and_do_not_depend_on_the_spelling() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 3, 1), Attention("fused"))
    count = count_macs(net, image_size=8)
    assert count.by_kind == {
        "convolution": 36 * 4 * 27,
        "depthwise_convolution": 16 * 4 * 9,
        "linear": 16 * 12 + 16 * 3 * 12,
        "attention": 2 * 16 * 16 * 4,
    }
    assert count.total == sum(count.by_kind.values())
    assert count.flops == 2 * count.total


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("inference", [True, False])
def test_counter_sees_fused_attention_on_the_cpu_in_every_mode(grad: bool, inference: bool) -> None:
    module = Attention("fused")
    with torch.set_grad_enabled(grad), torch.inference_mode(inference):
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        with MacCounter() as counter:
            module(torch.randn(2, 3, 4, 4))
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    assert counter.count().total == 2 * (16 * 3 * 12 + 2 * 16 * 16 * 4)


def test_multihead_attention_is_counted_despite_its_fast_path() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten(2), _Transpose(), layer)
    tokens = 16
    assert count_macs(model, image_size=4).total == tokens * (3 * 8 + 4 * 8 * 8 + 2 * 8 * 16) + 2 * tokens**2 * 8


class _Transpose(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


class Drawing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Stubborn(nn.Module):
    """Asks for a value on its way, holds a tensor that is no buffer, and counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("calls", torch.zeros(()))
        self.scale = torch.ones(())

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1  # type: ignore[has-type]
        return self.conv(x) * self.scale if float(x.sum()) >= 0 else x


def test_a_model_that_needs_values_is_counted_on_its_own_device() -> None:
    model = Stubborn()
    assert count_macs(model, image_size=8).total == 36 * 4 * 27
    assert model.calls.item() == 0


@pytest.mark.parametrize("name", list_models())
def test_a_network_counts_alike_on_shapes_and_computed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """C++ forms of its operators, which could not be seen, do not compute while it is counted."""
    monkeypatch.setattr(macs, "QUICK", 10**20)
    model = create_model(name)
    devices: list[str] = []
    next(model.children()).register_forward_pre_hook(lambda module, inputs: devices.append(inputs[0].device.type))
    counts = []
    for loaded in (True, False):
        monkeypatch.setattr(macs, "compiler_is_loaded", lambda loaded=loaded: loaded)
        counts.append(count_macs(model, model_info(name).image_size))
    assert counts[0] == counts[1] and counts[0].total > 0
    assert set(devices) == {"meta", "cpu"}


def test_a_large_network_is_counted_on_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(macs, "compiler_is_loaded", lambda: False)
    layer, devices = nn.Conv2d(3, 4, 3, bias=False), []
    layer.register_forward_pre_hook(lambda module, inputs: devices.append(inputs[0].device.type))
    for bound in (108 * 64, 108 * 64 - 1):
        monkeypatch.setattr(macs, "QUICK", bound)
        assert count_macs(layer, 8).total == 36 * 4 * 27
    assert devices == ["cpu", "meta"]


@pytest.mark.parametrize("loaded", [True, False])
def test_the_model_is_left_as_it_was(loaded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(macs, "compiler_is_loaded", lambda: loaded)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), Drawing())
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    count_macs(model, image_size=8)
    assert [module.training for module in model] == [True, False, True, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


# shared/PITFALLS.md: convolutions, linear layers and attention products at 224 px, in GMACs.
GOLDENS = {
    "resnet50": 4.11,
    "convnext_tiny": 4.47,
    "swin_tiny_patch4_window7_224": 4.51,
    "vit_small_patch16_224": 4.61,
    "maxvit_tiny_tf_224": 5.60,
    "rexnet_100": 0.40,
}


@pytest.mark.parametrize("name", GOLDENS)
def test_published_counts(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    assert count_macs(model, image_size=224).total / 1e9 == pytest.approx(GOLDENS[name], rel=0.015)


def test_parameters() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 4))
    model[2].weight = nn.Parameter(model[2].weight.half(), requires_grad=False)
    model.append(model[2])
    counted = count_parameters(model)
    assert (counted.total, counted.trainable, counted.frozen, counted.buffers) == (140, 124, 16, 9)
    assert counted.mib == (124 * 4 + 16 * 2) / 2**20


class Tied(nn.Module):
    """One layer under two names (`twice`), or two layers with one weight."""

    def __init__(self, twice: bool) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = self.a if twice else nn.Linear(3, 3)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.b(self.a(x.mean((2, 3))))
        return y


@pytest.mark.parametrize("twice", [True, False])
def test_tied_parameters_are_counted_wherever_they_are_used_and_put_back(twice: bool) -> None:
    model = Tied(twice)
    before = [id(parameter) for parameter in model.parameters()]
    assert count_macs(model, image_size=4).total == 2 * 9
    assert [id(parameter) for parameter in model.parameters()] == before
    assert model.a.weight is model.b.weight and model.a.weight.device.type == "cpu"
    assert all(value.device.type == "cpu" for value in model.state_dict().values())
