"""A run that trains to int8: layers round as the int8 file will, with ranges that training finds."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import safetensors.torch
import torch
from ranks import in_ranks
from small_run import SMOOTH, run_spec, stopped_at
from timm.layers import StdConv2d
from torch import nn

from levelfield.cost import count_macs
from levelfield.errors import UserError
from levelfield.models import create_model
from levelfield.spec import QuantizeAware, RunSpec
from levelfield.training import load_run, prepare, train_prepared
from levelfield.training.fake_quantisation import (
    fake_quantise,
    input_grid,
    observe,
    quantised_layers,
    rounded_weight,
    without_rounding,
)

SGD = "recipe.optimizer={name: sgd, lr: 0.01, momentum: 0.9}"


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("parent") / "run"
    train_prepared(prepare(run_spec(SMOOTH, "budget={epochs: 1}")), out)
    return out


def rounding(parent: Path, *assignments: str) -> RunSpec:
    start = f"model.start_from.source={parent}"
    return run_spec(SMOOTH, SGD, start, "recipe.quantize_aware={}", "budget={steps: 6}", *assignments)


def test_weights_lie_on_the_grid_of_each_channel_and_all_of_the_gradient_comes_back() -> None:
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    rounded = rounded_weight(weight)
    step = weight.detach().abs().amax((1, 2, 3)) / 64
    levels = rounded.detach() / step.view(-1, 1, 1, 1)
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    assert levels.abs().amax((1, 2, 3)).tolist() == pytest.approx([64] * 5)
    assert float((rounded - weight).detach().abs().div(step.view(-1, 1, 1, 1)).max()) <= 0.5001
    given = torch.randn(5, 3, 3, 3)
    rounded.backward(given)
    assert weight.grad is not None and torch.equal(weight.grad, given)
    scaled = torch.tensor([2.5, -0.3, 1.0, -7.0, 0.01]).view(-1, 1, 1, 1)
    torch.testing.assert_close(rounded_weight(scaled * weight), scaled * rounded)  # a BatchNorm may be folded in


def test_a_range_is_the_moving_average_of_the_extremes_and_holds_zero() -> None:
    found = torch.zeros(2)
    observe(found, torch.tensor([2.0, 6.0]), 0.5)
    assert found.tolist() == [0.0, 6.0]
    observe(found, torch.tensor([-4.0, 2.0]), 0.5)
    assert found.tolist() == [-2.0, 4.0]
    step, zero = input_grid(found)
    assert float(step) == pytest.approx(6 / 255) and int(zero) == round(-128 + 2 / (6 / 255))


def test_a_range_is_that_of_the_whole_batch_over_processes() -> None:
    batches = [torch.tensor([1.0, -2.0, 5.0, -0.5]), torch.tensor([0.25, 8.0, -9.0, 1.0])]
    alone = torch.zeros(2)
    for batch in batches:
        observe(alone, batch, 0.1)

    def seen_by(rank: int) -> list[float]:
        torch.distributed.init_process_group("gloo")
        found = torch.zeros(2)
        for batch in batches:
            observe(found, batch[rank::2], 0.1)
        torch.distributed.destroy_process_group()
        return found.tolist()

    assert in_ranks([partial(seen_by, rank) for rank in range(2)]) == [alone.tolist()] * 2


def test_a_layer_computes_with_its_rounded_weight_and_input() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 4))
    weight, bias = network[0].weight.detach().clone(), network[0].bias.detach().clone()
    names = list(network.state_dict())
    fake_quantise(network, QuantizeAware())
    assert list(network.state_dict()) == [*names, "0.input_range"]
    x = torch.randn(16, 8)
    network.train()(x)
    low, high = (float(each) for each in network[0].input_range)
    assert (low, high) == (float(x.min()), float(x.max()))
    network.eval()
    far = 3 * torch.randn(16, 8)  # beyond the range is its end
    assert network[0].input_range.tolist() == [low, high]
    step = (high - low) / 255
    zero = round(-128 - low / step)
    as_int8 = ((far / step).round() + zero).clamp(-128, 127)
    own = weight.abs().amax(1, keepdim=True) / 64
    expected = ((as_int8 - zero) * step) @ ((weight / own).round() * own).T + bias
    torch.testing.assert_close(network(far), expected)


@pytest.mark.parametrize("name", ["resnet_nano", "outgrid_nano", "vit_mini", "convnext_nano_p2", "rexnet_tiny_0.35"])
def test_every_layer_rounds_whatever_fused_forms_there_are(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name, num_classes=10, image_size=32)
    x, macs = torch.randn(4, 3, 32, 32), count_macs(network, 32).total
    products = [module for module in network.modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    fake_quantise(network, QuantizeAware())
    network.train()(x).square().sum().backward()
    assert quantised_layers(network) == products
    assert all(float(layer.input_range[0]) < float(layer.input_range[1]) for layer in products)  # type: ignore[index]
    assert all(value.grad is not None for value in network.parameters())
    assert count_macs(network, 32).total == macs
    plain = without_rounding(network.eval())
    assert not quantised_layers(plain) and len(quantised_layers(network)) == len(products)
    assert set(plain.state_dict()) == {key for key in network.state_dict() if not key.endswith("input_range")}
    with torch.no_grad():
        for layer in products:
            layer.input_range.copy_(torch.tensor([-1e-3, 1e-3]))  # type: ignore[operator]
        assert not torch.allclose(network(x), plain(x))  # the ranges count


def test_a_run_is_repeated_and_resumed_to_the_byte_and_read_back(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = rounding(parent, "recipe.averaging={name: ema, decay: 0.9}")
    result = train_prepared(prepare(spec), tmp_path / "run").result
    network = load_run(tmp_path / "run").model
    assert result["quantized_layers"] == len(quantised_layers(network)) > 10
    ranges = {key: value for key, value in network.state_dict().items() if key.endswith("input_range")}
    assert len(ranges) == result["quantized_layers"] and all(float(low) < float(high) for low, high in ranges.values())
    stopped_at(3, spec, tmp_path / "cut", monkeypatch)
    train_prepared(prepare(spec), tmp_path / "cut")
    file = "weights.safetensors"
    assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "run" / file).read_bytes()


def test_parts_of_a_batch_computed_again_change_nothing(parent: Path, tmp_path: Path) -> None:
    train_prepared(prepare(rounding(parent, "budget={steps: 2}")), tmp_path / "run")
    again = rounding(parent, "budget={steps: 2}", "execution.gradient_checkpointing=true")
    train_prepared(prepare(again), tmp_path / "again")
    one, two = (safetensors.torch.load_file(tmp_path / name / "weights.safetensors") for name in ("run", "again"))
    for key, value in one.items():
        if key.endswith("input_range"):
            torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-5)


def test_what_is_pruned_stays_zero_while_it_rounds(parent: Path, tmp_path: Path) -> None:
    result = train_prepared(prepare(rounding(parent, "recipe.prune.share=0.5")), tmp_path / "run").result
    weights = safetensors.torch.load_file(tmp_path / "run" / "weights.safetensors")
    zeros = sum(int((value == 0).sum()) for key, value in weights.items() if key.endswith("weight") and value.ndim > 1)
    assert zeros == result["pruned_params"] > 0


def test_a_layer_that_makes_its_weight_anew_is_refused() -> None:
    with pytest.raises(UserError, match=r"recipe\.quantize_aware: 0 \(StdConv2d\) computes with another weight"):
        fake_quantise(nn.Sequential(StdConv2d(3, 4, 3)), QuantizeAware())
