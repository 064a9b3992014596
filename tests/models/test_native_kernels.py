"""The compiled loops equal their plain expressions, forward and backward, and step aside where they may not compute."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch._dynamo
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield import native
from levelfield.cost import count_macs
from levelfield.models import create_model, list_models, on_meta
from levelfield.models.capture_attention import capture_attention
from levelfield.models.families.outgrid import GridAttention, MBConv, OutlookAttention
from levelfield.models.kernels import grid_attention, outlook
from levelfield.models.kernels.channel_gate import gate_native
from levelfield.models.kernels.depthwise import depthwise_native
from levelfield.models.kernels.grid_attention import grid_attention_native, grid_weights
from levelfield.models.kernels.linear import linear, onednn_multiplies_bf16
from levelfield.models.kernels.max_pool import max_pool_2x2_native
from levelfield.models.kernels.norm_silu import (
    ACTIVATIONS,
    norm_activation,
    norm_activation_native,
    norm_silu,
    norm_silu_native,
)
from levelfield.models.kernels.outlook import outlook_native, outlook_plain
from levelfield.models.kernels.pointwise import pointwise
from levelfield.models.layers import MLP, ChannelLinear, Depthwise, Pointwise, SqueezeExcite, TokenLinear


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("no C++ compiler")
    native.build()
    native.library.cache_clear()
    assert native.library() is not None


@pytest.fixture
def plain_torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Call with True to switch the compiled form off, with False to switch it on again."""
    on = native.library
    yield lambda off: monkeypatch.setattr(native, "library", (lambda: None) if off else on)


def relative(got: Tensor, expected: Tensor) -> float:
    got, expected = got.detach().double(), expected.detach().double()
    return float((got - expected).norm() / expected.norm().clamp_min(1e-30))


def check(
    fast: Callable[..., Tensor], plain: Callable[..., Tensor], *inputs: Tensor, tolerance: float = 3e-6,
    dtype: torch.dtype = torch.float32,
) -> None:  # fmt: skip
    """Outputs and all gradients of `fast` in `dtype` against `plain` in float64, relative in the 2-norm.

    A bfloat16 has 8 bits, so one rounding of a result is an error of up to 2^-9 of each number, 0.0017 in the 2-norm.
    """
    single = [x.to(dtype).detach().requires_grad_() for x in inputs]
    double = [x.detach().double().requires_grad_() for x in single]
    if dtype is torch.bfloat16:
        tolerance = max(tolerance, 0.002)
    got, expected = fast(*single), plain(*double)
    assert got.shape == expected.shape and got.dtype is dtype
    assert relative(got, expected) < tolerance
    weight = torch.randn_like(got)
    for mine, theirs in zip(
        torch.autograd.grad(got, single, weight), torch.autograd.grad(expected, double, weight.double()), strict=True
    ):
        assert mine.dtype is dtype and relative(mine, theirs) < tolerance


MAPS = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])


@pytest.mark.parametrize("width", [20, 24, 32, 40, 48, 56, 64])
@pytest.mark.parametrize("height", [1, 5])
@MAPS
def test_outlook(width: int, height: int, dtype: torch.dtype) -> None:
    torch.manual_seed(width)
    logits, values = 3 * torch.randn(2, 27, height, 6), torch.randn(2, 3 * width, height, 6)
    check(lambda a, v: outlook_native(a, v, 3), lambda a, v: outlook_plain(a, v, 3), logits, values, dtype=dtype)


@pytest.mark.parametrize(
    ("width", "height", "columns", "grid"),
    [(24, 8, 8, 2), (32, 4, 8, 4), (40, 4, 8, 4), (56, 4, 4, 1), (64, 6, 3, 3), (20, 8, 8, 1)],
)
@MAPS
def test_grid_attention(width: int, height: int, columns: int, grid: int, dtype: torch.dtype) -> None:
    torch.manual_seed(width)

    def plain(qkv: Tensor) -> Tensor:
        weights = grid_weights(qkv, 2, grid)
        v = qkv[..., 4 * width :].reshape(2, height // grid, grid, columns // grid, grid, 2, width)
        y = weights @ v.permute(0, 2, 4, 5, 1, 3, 6).flatten(4, 5)
        y = y.unflatten(4, (height // grid, columns // grid)).permute(0, 4, 1, 5, 2, 3, 6)
        return y.reshape(2, height, columns, 2 * width)

    qkv = 2 * torch.randn(2, height, columns, 6 * width)
    check(lambda qkv: grid_attention_native(qkv, 2, grid), plain, qkv, dtype=dtype)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels", [5, 24, 64, 138, 300])
@pytest.mark.parametrize("act", [None, F.silu, F.relu])
@MAPS
def test_norm_and_activation(
    training: bool, channels: int, act: Callable[[Tensor], Tensor] | None, dtype: torch.dtype
) -> None:
    torch.manual_seed(channels)
    norm = nn.BatchNorm2d(channels).train(training)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.normal_()
    other = nn.BatchNorm2d(channels).double().train(training)
    other.load_state_dict(norm.state_dict())

    activate = act or torch.clone

    def joined(y: Tensor, pooled: Tensor) -> Tensor:
        return torch.cat([y, (y.shape[2] * pooled).to(y.dtype)], 2)

    def fast(x: Tensor) -> Tensor:
        y, pooled = norm_activation_native(x, norm, ACTIVATIONS[act])
        return joined(y, pooled.expand(-1, -1, 1, y.shape[3]))

    def plain(x: Tensor) -> Tensor:
        y = activate(other(x))
        return joined(y, y.mean((2, 3), keepdim=True).expand(-1, -1, 1, y.shape[3]))

    x = 2 * torch.randn(3, channels, 9, 8) + 50.0 * training
    check(fast, plain, x, tolerance=2e-5 if training else 3e-6, dtype=dtype)
    y, pooled = norm_activation_native(x := torch.randn(3, channels, 9, 8).to(dtype), norm, ACTIVATIONS[act])
    assert pooled.dtype is torch.float32
    weight = torch.randint(1, 4, y.shape)  # whole numbers: exact in bfloat16
    (y * weight).sum().backward()
    (activate(other(x.double())) * weight).sum().backward()
    assert relative(norm.weight.grad, other.weight.grad) < 1e-5 and relative(norm.bias.grad, other.bias.grad) < 1e-5
    for name, buffer in other.named_buffers():
        torch.testing.assert_close(getattr(norm, name).double(), buffer.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("act", [None, nn.SiLU(), nn.ReLU()])
def test_in_float32_norms_and_activations_are_computed_at_once_in_training_and_by_torch_in_evaluation(
    act: nn.Module | None,
) -> None:
    norm, x = nn.BatchNorm2d(8), torch.randn(2, 8, 4, 4)
    expected = norm.eval()(x) if act is None else act(norm.eval()(x))
    assert torch.equal(norm_activation(x, norm, act), expected)
    assert "NormActivation" not in norm_activation(x, norm, act).grad_fn.name()
    assert "NormActivation" in norm_activation(x, norm.train(), act).grad_fn.name()
    inference = [nn.BatchNorm2d(8) for _ in range(2)]
    with torch.no_grad():  # statistics of the whole data, as of an averaged network
        norm_activation(x, inference[0], act)
        inference[1](x)
    for one, other in zip(inference[0].buffers(), inference[1].buffers(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("act", [None, F.silu, F.relu])
@pytest.mark.parametrize("needed", [(True, True, True), (True, False, False), (False, True, True), (True, False, True)])
def test_gradients_of_gradients_through_a_norm(
    training: bool, act: Callable[[Tensor], Tensor] | None, needed: tuple[bool, ...]
) -> None:
    torch.manual_seed(0)
    norm, activate = nn.BatchNorm2d(6).train(training), act or torch.clone
    x = torch.randn(3, 6, 4, 4)
    leaves = [leaf.requires_grad_(need) for leaf, need in zip((x, norm.weight, norm.bias), needed, strict=True)]
    leaves = [leaf for leaf in leaves if leaf.requires_grad]
    mix = torch.randn(x.shape) / 8  # without it the sum of squares of what is normed is a constant

    def seconds(y: Tensor, pooled: Tensor) -> tuple[Tensor, ...]:
        firsts = torch.autograd.grad((mix * y).square().sum() + pooled.square().sum(), leaves, create_graph=True)
        total = torch.stack([first.square().sum() for first in firsts]).sum()
        return torch.autograd.grad(total, leaves, allow_unused=True)

    plain = activate(norm(x))
    wanted = seconds(plain, plain.mean((2, 3), keepdim=True))
    found = seconds(*norm_activation_native(x, norm, ACTIVATIONS[act]))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("act", [None, nn.SiLU(), nn.ReLU()])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_made_one_by_a_norm(act: nn.Module | None, bad: float) -> None:
    """Statistics, outputs and gradients that torch says are none."""
    x = torch.randn(2, 3, 3, 3)
    x[1, 0, 1, 1] = bad
    norms, ends = [nn.BatchNorm2d(3) for _ in range(2)], []

    def plain(x: Tensor, norm: nn.Module, act: nn.Module | None) -> Tensor:
        y: Tensor = norm(x)
        return y if act is None else act(y)

    for norm, form in zip(norms, (norm_activation, plain), strict=True):
        leaf = x.clone().requires_grad_()
        y = form(leaf, norm, act)
        y.sum().backward()
        ends.append((y, norm.running_mean, norm.running_var, leaf.grad, norm.weight.grad, norm.bias.grad))
    for found, wanted in zip(*ends, strict=True):
        assert torch.equal(found.isfinite(), wanted.isfinite())


@pytest.mark.parametrize(("side", "outlier"), [(32, 30.0), (112, 1000.0)])
def test_statistics_do_not_lose_digits_to_a_place_far_from_all_others(side: int, outlier: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 4, side, side)
    x[0, :, 0, 0] += outlier
    norm, other = nn.BatchNorm2d(4, momentum=1.0), nn.BatchNorm2d(4, momentum=1.0).double()
    norm_activation_native(x, norm, 0)
    other(x.double())
    assert (
        relative(norm.running_var, other.running_var) < 2e-6 and relative(norm.running_mean, other.running_mean) < 2e-6
    )


@pytest.mark.parametrize("gone", [("running_mean", "running_var"), ("num_batches_tracked",)])
def test_a_norm_without_its_statistics_is_left_to_torch(gone: tuple[str, ...]) -> None:
    norm, x = nn.BatchNorm2d(4), torch.randn(2, 4, 3, 3)
    for name in gone:
        setattr(norm, name, None)
    torch.testing.assert_close(norm_activation(x, norm), F.batch_norm(x, None, None, norm.weight, norm.bias, True))


def test_every_head_width_of_the_registered_networks_is_known_to_the_compiler() -> None:
    """A width that is not takes loops of a length found at run time, which are not vectorised."""
    known = {
        int(width) for width in re.findall(r"case (\d+): return function<", native.SOURCE.read_text(encoding="utf-8"))
    }
    widths = {
        module.values.in_channels // module.heads
        if isinstance(module, OutlookAttention)
        else module.projection.in_features // module.heads
        for name in list_models("outgrid_*")
        for module in on_meta(name).modules()
        if isinstance(module, (OutlookAttention, GridAttention))
    }
    assert widths <= known and len(widths) > 3


@MAPS
def test_gate(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, gate = torch.randn(2, 300, 5, 4), torch.randn(2, 300, 1, 1)
    check(gate_native, lambda x, gate: x * gate, x, gate, dtype=dtype)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize(("channels", "height", "width"), [(64, 6, 9), (45, 4, 4), (5, 1, 2), (33, 3, 7), (16, 1, 1)])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
@MAPS
def test_gradients_of_a_depthwise_convolution(
    kernel: int, channels: int, height: int, width: int, biased: bool, stride: int, dtype: torch.dtype
) -> None:
    """Of maps in either dtype and float32 weights: the weights' are not rounded, but for their product with maps."""
    torch.manual_seed(channels)
    x = torch.randn(19, channels, height, width).to(dtype)
    leaves = [torch.randn(channels, 1, kernel, kernel), *([torch.randn(channels)] if biased else [])]
    single = [leaf.clone().requires_grad_() for leaf in (x, *leaves)]
    double = [leaf.double().requires_grad_() for leaf in (x, *leaves)]
    y = depthwise_native(*single, *([] if biased else [None]), stride=stride)
    expected = F.conv2d(*double, padding=kernel // 2, stride=stride, groups=channels)
    assert y.dtype is dtype
    rounded = dtype is torch.bfloat16  # the weights too, in the forward pass
    assert relative(y, expected) < (0.004 if rounded else 3e-6)
    grad = torch.randn(y.shape).to(dtype)
    mine = torch.autograd.grad(y, single, grad)
    theirs = torch.autograd.grad(expected, double, grad.double())
    for got, right, tolerance in zip(mine, theirs, (0.002 if rounded else 3e-6, 3e-6, 3e-6), strict=False):
        assert got.shape == right.shape and relative(got, right) < tolerance


def test_a_depthwise_convolution_of_images_has_no_gradient_of_them() -> None:
    torch.manual_seed(0)
    layer, x = Depthwise(8, 7), torch.randn(2, 8, 5, 5)
    depthwise_native(x, layer.weight, layer.bias).square().sum().backward()
    mine = layer.weight.grad.clone()
    layer.weight.grad = None
    nn.Conv2d.forward(layer, x).square().sum().backward()
    assert relative(mine, layer.weight.grad) < 3e-6 and x.grad is None


@pytest.mark.parametrize("wide", [True, False])
def test_a_depthwise_convolution_takes_its_own_gradients_where_they_are_faster(
    wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bfloat16 everywhere; in float32 where a processor has no 512-bit registers, its results being torch's."""
    monkeypatch.setattr(native, "has_wide_vectors", lambda: wide)
    torch.manual_seed(0)
    layer = Depthwise(8, 5)
    x = torch.randn(2, 8, 5, 5, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert "_Depthwise" in y.grad_fn.name() and y.dtype is torch.bfloat16
    y.sum().backward()
    assert x.grad.dtype is torch.float32 and layer.weight.grad.dtype is torch.float32
    for layout in (torch.channels_last, torch.contiguous_format):
        laid_out = x.contiguous(memory_format=layout)
        y = layer(laid_out)
        assert torch.equal(y, nn.Conv2d.forward(layer, laid_out))
        own = layout is torch.channels_last and not wide
        assert ("_Depthwise" if own else "Convolution") in y.grad_fn.name()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_pointwise_map_in_bf16_is_the_convolution(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(40, 24, 1, 1), torch.randn(40)
    x = torch.randn(3, 24, 5, 4).contiguous(memory_format=layout)
    check(pointwise, F.conv2d, x, weight, bias, dtype=torch.bfloat16)
    assert pointwise(x.bfloat16(), weight.bfloat16(), None).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("inputs", "outputs"), [(16, 6), (48, 27), (96, 50), (64, 5), (112, 49), (20, 8)])
@pytest.mark.parametrize("side", [3, 40])
def test_pointwise(inputs: int, outputs: int, side: int) -> None:
    torch.manual_seed(inputs)
    weight, bias = torch.randn(outputs, inputs, 1, 1), torch.randn(outputs)
    check(pointwise, F.conv2d, torch.randn(3, inputs, side, side), weight, bias)


@pytest.mark.parametrize(("shape", "outputs"), [((3, 5, 24), 40), ((7, 16), 1), ((2, 4, 4, 48), 192)])
@pytest.mark.parametrize("biased", [True, False])
def test_a_linear_layer_in_bf16(shape: tuple[int, ...], outputs: int, biased: bool) -> None:
    torch.manual_seed(outputs)
    x, weight = torch.randn(shape), torch.randn(outputs, shape[-1])
    for gelu in (False, True):
        check(
            lambda x, w, *b: linear(x, w, b[0] if b else None, gelu),  # noqa: B023
            lambda x, w, *b: F.gelu(F.linear(x, w, *b)) if gelu else F.linear(x, w, *b),  # noqa: B023
            x, weight, *([torch.randn(outputs)] if biased else []), dtype=torch.bfloat16,
            tolerance=0.006 if gelu else 0.002,  # GELU's input is rounded too
        )  # fmt: skip


@pytest.mark.parametrize("layer", [Pointwise, ChannelLinear, TokenLinear])
def test_an_mlp_is_its_modules_one_after_the_other(layer: type[Pointwise | ChannelLinear | TokenLinear]) -> None:
    torch.manual_seed(0)
    mlp = MLP(layer, 16, 40)
    x = torch.randn(2, 16, 5, 4) if layer is Pointwise else torch.randn(2, 5, 4, 16)
    exact = mlp.double()(x.double()).detach()
    assert torch.equal(mlp.float()(x), nn.Sequential.forward(mlp, x))
    with torch.autocast("cpu", torch.bfloat16):
        trained = mlp(x)
        with torch.no_grad():
            evaluated = mlp(x)
    own = onednn_multiplies_bf16() and layer is not Pointwise  # elsewhere torch's own
    assert ("_Linear" in trained.grad_fn.name()) is own
    assert relative(trained, exact) < 0.006 and relative(evaluated, exact) < 0.006
    seen: list[Tensor] = []
    mlp[0].register_forward_hook(lambda module, inputs, output: seen.append(output))
    mlp[1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        mlp(x)
    assert len(seen) == 2 and torch.equal(F.gelu(seen[0]), seen[1])


def test_operators_are_registered_soundly() -> None:
    """With torch: schema, shapes without arithmetic, gradients, and both through the compiler's tracing."""
    torch.manual_seed(0)
    maps = (torch.randn(2, 18, 3, 4), torch.randn(2, 40, 3, 4), torch.randn(2, 40, 3, 4))
    logits, values, grad = (x.contiguous(memory_format=torch.channels_last).requires_grad_() for x in maps)
    qkv = torch.randn(2, 4, 4, 60, requires_grad=True)
    for operator, inputs in (
        (outlook._forward, (logits, values, 2)),
        (outlook._backward, (logits.detach(), values.detach(), grad.detach(), 2)),
        (grid_attention._forward, (qkv, 2, 2)),
        (grid_attention._backward, (qkv.detach(), torch.randn(2, 4, 4, 20), 2, 2)),
    ):
        assert set(torch.library.opcheck(operator, inputs).values()) == {"SUCCESS"}


def test_a_second_derivative_is_refused() -> None:
    logits, values = torch.randn(1, 9, 3, 3, requires_grad=True), torch.randn(1, 4, 3, 3, requires_grad=True)
    (first,) = torch.autograd.grad(outlook_native(logits, values, 1).square().sum(), values, create_graph=True)
    with pytest.raises(RuntimeError, match="outlook_native_backward"):
        first.sum().backward()


class BothAttentions(nn.Module):
    """Outlook attention without its linear maps, then grid attention without its own, but for one that triples."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 1
        self.triple = nn.Linear(8, 24)

    def forward(self, logits: Tensor, values: Tensor) -> Tensor:
        y = outlook.outlook(logits, values, self.heads)
        return grid_attention.grid_attention(self.triple(y.permute(0, 2, 3, 1)), self.heads, 2)


def test_compiled_each_attention_is_one_operator_with_the_same_gradients() -> None:
    torch.manual_seed(0)
    model = BothAttentions()
    compiled = torch.compile(model, fullgraph=True)
    inputs = [torch.randn(2, 9, 4, 6, requires_grad=True), torch.randn(2, 8, 4, 6, requires_grad=True)]
    explained = torch._dynamo.explain(model)(*inputs)
    called = [str(node.target) for node in explained.graphs[0].graph.nodes if "levelfield" in str(node.target)]
    assert called == ["levelfield.outlook_native.default", "levelfield.grid_attention_native.default"]
    weight, wanted = torch.randn(2, 4, 6, 8), [*inputs, *model.parameters()]
    eager, fast = model(*inputs), compiled(*inputs)
    torch.testing.assert_close(fast, eager)
    gradients = [torch.autograd.grad(out, wanted, weight) for out in (eager, fast)]
    for expected, got in zip(*gradients, strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("strict", [True, False])
def test_an_exported_program_is_plain_torch_and_is_loaded_without_levelfield(strict: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, inputs = BothAttentions(), (torch.randn(2, 9, 4, 6), torch.randn(2, 8, 4, 6))
    exported = torch.export.export(model, inputs, strict=strict)
    assert not [str(node.target) for node in exported.graph.nodes if "levelfield" in str(node.target)]
    torch.export.save(exported, tmp_path / "program.pt2")
    torch.save((inputs, model(*inputs).detach()), tmp_path / "expected.pt")
    code = (
        "import sys; sys.modules['levelfield'] = None; import torch; inputs, expected = torch.load('expected.pt')\n"
        "got = torch.export.load('program.pt2').module()(*inputs); torch.testing.assert_close(got, expected)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def test_the_network_is_the_same_with_and_without(plain_torch: Callable[[bool], None]) -> None:
    torch.manual_seed(0)
    model = create_model("outgrid_nano", num_classes=10, image_size=32)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images, labels = torch.randn(8, 3, 32, 32), torch.arange(8)
    seen = []
    for off in (False, True):
        plain_torch(off)
        model.load_state_dict(state)
        model.zero_grad()
        with capture_attention(model) as captured:
            logits = model(images)
        F.cross_entropy(logits, labels).backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        buffers = torch.cat([buffer.flatten().float() for buffer in model.buffers()])
        maps = torch.cat([weights.flatten() for weights in captured.values()])
        seen.append((logits.detach(), gradient, buffers, maps, count_macs(model, 32)))
    for fast, plain in zip(seen[0][:4], seen[1][:4], strict=True):
        assert relative(fast, plain) < 1e-5
    assert seen[0][4] == seen[1][4]


def test_under_autocast_the_network_is_as_near_to_float32_as_without(plain_torch: Callable[[bool], None]) -> None:
    """In the logits, the gradient and the statistics of BatchNorm: sums in float32 lose less than torch's in bf16."""
    torch.manual_seed(0)
    model = create_model("outgrid_nano", num_classes=10, image_size=32)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 10

    def step(bf16: bool, off: bool) -> list[Tensor]:
        plain_torch(off)
        model.load_state_dict(state)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(images)
        F.cross_entropy(logits.float(), labels).backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        return [logits, gradient, torch.cat([buffer.flatten().float() for buffer in model.buffers()])]

    exact, fast, plain = step(False, True), step(True, False), step(True, True)
    for right, mine, theirs in zip(exact, fast, plain, strict=True):
        assert 0 < relative(mine, right) < 1.2 * relative(theirs, right) < 0.2


@pytest.mark.parametrize(("height", "width"), [(2, 2), (7, 6), (6, 7), (31, 31)])
@pytest.mark.parametrize("channels", [5, 64])
@MAPS
def test_max_pool_is_torchs(height: int, width: int, channels: int, dtype: torch.dtype) -> None:
    torch.manual_seed(height)
    x = torch.randn(3, channels, height, width).to(dtype)
    x[0].round_()  # equal ones, of which the first is taken
    x[1, 0, 1, 0], x[1, 1, 0, 1], x[2, 0] = float("nan"), float("inf"), -float("inf")
    x.requires_grad_()
    mine, theirs = max_pool_2x2_native(x), F.max_pool2d(x, 2)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=0, equal_nan=True)
    weight = torch.randn_like(theirs)
    (dmine,), (dtheirs,) = (torch.autograd.grad(y, x, weight) for y in (mine, theirs))
    assert torch.equal(dmine, dtheirs) and dmine.dtype is dtype


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    torch.manual_seed(0)
    norm, convolution = nn.BatchNorm2d(96), Depthwise(96, 3)
    x, logits = torch.randn(3, 96, 16, 16), torch.randn(3, 27, 16, 16)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            leaf = x.clone().requires_grad_()
            norm.zero_grad()
            pooled = max_pool_2x2_native(leaf).sum()
            (pooled + outlook_native(logits, norm_silu_native(leaf, norm)[0], 3).square().sum()).backward()
            weight = torch.ones(8, 96, 1, 1, requires_grad=True)
            pointwise(x.repeat(6, 1, 1, 1), weight, None).square().sum().backward()
            convolution.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                convolution(x).square().sum().backward()
            results.append((leaf.grad, norm.weight.grad.clone(), weight.grad, convolution.weight.grad.clone()))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


def test_steps_aside_where_it_may_not_compute() -> None:
    x = torch.randn(1, 4, 2, 2)
    assert native.usable(x)
    assert not native.usable(x.double())
    assert not native.usable(x[:0])
    assert not native.usable(x.to("meta"))
    assert not native.usable(nn.Parameter(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert not native.usable(x) and native.usable(x.bfloat16())
        y = norm_silu(x.bfloat16(), nn.BatchNorm2d(4).bfloat16(), nn.SiLU())
        assert "NormActivation" not in y.grad_fn.name()
    with torch.autocast("cpu", torch.float16):
        assert not native.usable(x) and not native.usable(x.bfloat16())
    seen: list[bool] = []
    torch.func.vmap(lambda row: (seen.append(native.usable(row)), row)[1])(x)
    assert seen == [False]
    other: list[bool] = []
    thread = threading.Thread(target=lambda: other.append(native.usable(x)))
    thread.start()
    thread.join()
    assert other == [True]


Hook = Callable[..., None]


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.SiLU, SqueezeExcite])
@pytest.mark.parametrize(
    "register",
    [
        lambda module, hook: module.register_forward_pre_hook(hook),
        lambda module, hook: module.register_forward_hook(hook),
        lambda module, hook: module.register_full_backward_hook(hook),
        lambda module, hook: module.register_full_backward_pre_hook(hook),
    ],
)
def test_a_users_hook_on_a_module_that_a_fused_form_replaces_fires(
    kind: type[nn.Module], register: Callable[[nn.Module, Hook], object]
) -> None:
    torch.manual_seed(0)
    model = create_model("outgrid_nano", num_classes=10, image_size=32)
    places = [name for name, module in model.named_modules() if isinstance(module, kind)]
    fired: list[str] = []
    for name in places:
        register(model.get_submodule(name), lambda *_, name=name: fired.append(name))
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    assert sorted(fired) == sorted(places) and len(places) >= 3


def test_a_hook_on_all_modules_sees_those_that_a_fused_form_replaces() -> None:
    model = create_model("outgrid_nano", num_classes=10, image_size=32)
    kinds: list[type[nn.Module]] = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: kinds.append(type(module)))
    try:
        model(torch.randn(2, 3, 32, 32))
    finally:
        handle.remove()
    assert kinds.count(nn.SiLU) == sum(isinstance(module, nn.SiLU) for module in model.modules())


@pytest.mark.parametrize("place", [1, 2, 6])
def test_a_module_put_in_the_place_of_a_known_one_is_called(place: int) -> None:
    torch.manual_seed(0)
    block = MBConv(16)
    x = torch.randn(2, 16, 8, 8)
    before = block(x)
    block[place] = {1: nn.InstanceNorm2d(64), 2: nn.ReLU(), 6: nn.Identity()}[place]
    other = block(x)
    assert relative(other, before) > 1e-3
    torch.testing.assert_close(other, x + nn.Sequential.forward(block, x))


def test_a_forward_put_in_the_place_of_a_norms_own_is_called() -> None:
    block = MBConv(16)
    called: list[bool] = []
    own = block[1].forward
    block[1].forward = lambda x: (called.append(True), own(x))[1]
    block(torch.randn(2, 16, 8, 8))
    assert called == [True]


def test_the_whole_network_is_one_graph_when_it_is_compiled(plain_torch: Callable[[bool], None]) -> None:
    """Both where the library is built and where it is not: a compiler that asked for it would stop there."""
    model = create_model("outgrid_nano", num_classes=10, image_size=32)
    for off in (False, True):
        plain_torch(off)
        torch._dynamo.reset()
        explained = torch._dynamo.explain(model)(torch.randn(2, 3, 32, 32))
        assert (explained.graph_count, explained.graph_break_count) == (1, 0), explained.break_reasons
        operators = [node for node in explained.graphs[0].graph.nodes if "levelfield" in str(node.target)]
        assert len(operators) == (0 if off else 6)
    torch._dynamo.reset()


def test_is_switched_off_by_the_environment_or_a_missing_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name, value in (("LEVELFIELD_NATIVE", "0"), ("LEVELFIELD_CACHE", str(tmp_path_factory.mktemp("empty")))):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            native.library.cache_clear()
            assert native.library() is None
    native.library.cache_clear()
    assert native.library() is not None


def test_shapes_that_the_loops_would_misread_are_refused() -> None:
    for logits, values, heads in (((2, 18, 4, 4), (2, 7, 4, 4), 2), ((2, 9, 4, 4), (2, 8, 4, 4), 2),
                                  ((2, 18, 4, 3), (2, 8, 4, 4), 2), ((1, 18, 4, 4), (2, 8, 4, 4), 2)):  # fmt: skip
        with pytest.raises(ValueError, match="outlook of 2 heads: logits"):
            outlook_native(torch.zeros(logits), torch.zeros(values), heads)
    for shape, heads, grid in (
        ((2, 4, 4, 20), 2, 2),
        ((2, 5, 4, 24), 2, 2),
        ((2, 4, 6, 24), 2, 4),
        ((2, 4, 4, 24), 3, 2),
    ):
        with pytest.raises(ValueError, match="grid attention of"):
            grid_attention_native(torch.zeros(shape), heads, grid)


def test_an_empty_batch_trains_as_in_plain_torch() -> None:
    """In a process of its own, as it crashed there: the compiled forms walk through memory that such a batch lacks."""
    code = (
        "import torch, levelfield as lf; model = lf.create_model('outgrid_nano', num_classes=10).train()\n"
        "out = model(torch.randn(0, 3, 32, 32)); out.sum().backward(); print(tuple(out.shape))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout.strip()) == (0, "(0, 10)"), done.stderr
