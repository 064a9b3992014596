"""Muon in few operations: timm's numbers to the bit over lists, and within rounding where all lies on the device."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from levelfield.models import create_model
from levelfield.spec import Optimizer
from levelfield.training import newton_schulz
from levelfield.training.muon import _Scaling, update_matrices_on_device
from levelfield.training.newton_schulz import (
    LAUNCHES,
    Iteration,
    PackedMatrices,
    choose_stacks,
    flops,
    orthogonalise_stacked,
)
from levelfield.training.optimizers import make_optimizer
from levelfield.training.optimizers_of_timm import ZEROPOWER, file_of_timm

TIMM = file_of_timm("muon")
VIEWS = {"view", "transpose", "as_strided", "slice", "split", "split_with_sizes", "unbind", "detach", "alias", "select"}
MODELS = ["resnet_nano", "vit_mini", "convnext_nano_p2", "outgrid_nano"]


class Operations(TorchDispatchMode):
    """Counts operators; those that only look at memory in another way launch nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[func._opname] += 1
        return func(*args, **(kwargs or {}))

    def launches(self) -> int:
        return sum(
            count for name, count in self.counts.items() if name not in VIEWS | {"empty", "empty_like", "new_empty"}
        )


class Dtypes(TorchDispatchMode):
    """What products of matrices are computed in."""

    def __init__(self) -> None:
        super().__init__()
        self.of_products: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._opname in {"addmm", "addmm_", "baddbmm", "baddbmm_", "mm", "bmm"}:
            self.of_products.add(args[0].dtype)
        return func(*args, **(kwargs or {}))


def optimizer_of(model: nn.Module, **options: Any) -> torch.optim.Optimizer:
    values = {"name": "muon", "lr": 0.02, "weight_decay": 0.1, "momentum": 0.9, "nesterov": True}
    options = {"adjust_lr_fn": "match_rms_adamw", "fallback_lr_scale": 0.5, **options}
    values |= {key: options.pop(key) for key in ("nesterov",) if key in options}
    return make_optimizer(Optimizer.parse({**values, "options": options}, "optimizer"), model)


def pair(name: str, **options: Any) -> tuple[nn.Module, torch.optim.Optimizer, nn.Module, torch.optim.Optimizer]:
    """A network with our optimiser, and its twin with timm's own on the same groups."""
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(create_model(name, 10, 32).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    mine, shape = (optimizer_of(model, **options) for model in models)
    groups = [{k: v for k, v in group.items() if k != "names"} for group in shape.param_groups]
    return models[0], mine, models[1], TIMM.Muon(groups)


def give_gradients(*models: nn.Module, seed: int, skip: tuple[str, ...] = ()) -> None:
    for model in models:
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in model.named_parameters():
            parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator))
            if name in skip:
                parameter.grad = None


def distance(a: nn.Module, b: nn.Module, start: dict[str, torch.Tensor]) -> float:
    """How far apart the two are, relative to the way that b went from `start`."""
    ways = [(p.detach() - start[n]).flatten() for n, p in b.named_parameters()]
    apart = [(p - q).detach().flatten() for p, q in zip(a.parameters(), b.parameters(), strict=True)]
    return float(torch.cat(apart).norm() / torch.cat(ways).norm())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("options", [{}, {"nesterov": False, "scale_eps": True, "adjust_lr_fn": "original"}])
def test_a_cpu_gets_timms_numbers_to_the_bit(name: str, options: dict[str, Any]) -> None:
    mine, optimizer, theirs, timms = pair(name, **options)
    late = (next(name for name, _ in mine.named_parameters()),)
    for step in range(3):
        give_gradients(mine, theirs, seed=step, skip=late if step == 0 else ())
        optimizer.step()
        timms.step()
    assert all(torch.equal(p, q) for p, q in zip(mine.parameters(), theirs.parameters(), strict=True))
    ours, known = optimizer.state_dict()["state"], timms.state_dict()["state"]
    assert {key: set(value) for key, value in ours.items()} == {key: set(value) for key, value in known.items()}


@pytest.mark.parametrize("options", [{}, {"algo": "adamuon"}, {"conv_mode": "batched"}])
@pytest.mark.parametrize("native", [True, False])
def test_products_are_bfloat16_where_the_processor_multiplies_it_and_else_float32(
    native: bool, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emulated, they took 67 % of a step of a small ConvNeXt on AVX2, and 97 % of one with matrices of 768."""
    monkeypatch.setattr(newton_schulz, "multiplies_bf16", lambda device: native)
    mine, optimizer, theirs, timms = pair("resnet_nano", **options)
    give_gradients(mine, theirs, seed=0)
    with Dtypes() as seen:
        optimizer.step()
    dtype = torch.bfloat16 if native else torch.float32
    monkeypatch.setattr(TIMM, ZEROPOWER, partial(getattr(TIMM, ZEROPOWER), dtype=dtype))
    timms.step()
    assert seen.of_products == {dtype}
    assert all(torch.equal(p, q) for p, q in zip(mine.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("options", [{"algo": "adamuon"}, {"conv_mode": "batched"}])
def test_what_is_left_to_timm_is_timms(options: dict[str, Any]) -> None:
    mine, optimizer, theirs, timms = pair("resnet_nano", **options)
    give_gradients(mine, theirs, seed=0)
    optimizer.step()
    timms.step()
    assert all(torch.equal(p, q) for p, q in zip(mine.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("nesterov", [True, False])
def test_the_form_for_devices_goes_where_timms_goes(name: str, nesterov: bool) -> None:
    """Padded stacks are rounded to bfloat16 in another order: 2**-8 of a step and less. The rest is float32's."""
    mine, optimizer, theirs, timms = pair(name, nesterov=nesterov)
    optimizer.on_device = True  # type: ignore[attr-defined]
    start = {key: value.detach().clone() for key, value in theirs.named_parameters()}
    late = tuple(name for name, _ in mine.named_parameters())[:3]
    for step in range(4):
        give_gradients(mine, theirs, seed=step, skip=late if step == 0 else ())
        for each in (optimizer, timms):
            for group in each.param_groups:
                rate = 0.02 / (step + 1) * group["lr_factor"]
                group["lr"] = torch.tensor(rate) if each is optimizer and step % 2 else rate
            each.step()
    assert distance(mine, theirs, start) < 2**-8
    fallback = [p for p in mine.parameters() if not optimizer.state[p]["use_muon"]]
    pairs = dict(zip(mine.parameters(), theirs.parameters(), strict=True))
    for parameter in fallback:
        torch.testing.assert_close(parameter, pairs[parameter], rtol=1e-5, atol=1e-6)
        assert float(optimizer.state[parameter]["step"]) == float(timms.state[pairs[parameter]]["step"])


def test_an_overflow_moves_nothing_and_a_scale_is_taken_out() -> None:
    model, plain, _, _ = pair("resnet_nano")
    start = {key: value.detach().clone() for key, value in model.named_parameters()}
    again = create_model("resnet_nano", 10, 32).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    again.load_state_dict(model.state_dict())
    scaled = optimizer_of(again)
    for each in (plain, scaled):
        each.on_device = True  # type: ignore[attr-defined]
    for step in range(4):
        give_gradients(model, again, seed=step)
        if step == 2:  # the scaled one alone meets an overflow first
            before = [p.detach().clone() for p in again.parameters()]
            states = {key: value.clone() for key, value in _tensors(scaled).items()}
            kept = [p.grad.clone() for p in again.parameters() if p.grad is not None]
            next(again.parameters()).grad.fill_(torch.inf)  # type: ignore[union-attr]
            scaled.found_inf, scaled.grad_scale = torch.tensor(1.0), torch.tensor(8.0)  # type: ignore[attr-defined]
            scaled.step()
            assert all(torch.equal(p, q) for p, q in zip(again.parameters(), before, strict=True))
            assert all(torch.equal(value, states[key]) for key, value in _tensors(scaled).items())
            for parameter, grad in zip(again.parameters(), kept, strict=True):
                parameter.grad = grad
        for parameter in again.parameters():
            parameter.grad.mul_(8.0)  # type: ignore[union-attr]
        scaled.found_inf, scaled.grad_scale = torch.tensor(0.0), torch.tensor(8.0)  # type: ignore[attr-defined]
        plain.step()
        scaled.step()
    assert distance(again, model, start) < 2**-8


def _tensors(optimizer: torch.optim.Optimizer) -> dict[tuple[int, str], torch.Tensor]:
    states = optimizer.state_dict()["state"]
    return {(n, k): v for n, state in states.items() for k, v in state.items() if isinstance(v, torch.Tensor)}


def test_a_run_goes_on_from_the_counts_of_a_device() -> None:
    """On the device and on a CPU: counts that parameters share there are each one's own here."""
    model, optimizer, _, _ = pair("resnet_nano")
    optimizer.on_device = True  # type: ignore[attr-defined]
    give_gradients(model, seed=0)
    optimizer.step()
    saved = optimizer.state_dict()
    twin = create_model("resnet_nano", 10, 32)
    twin.load_state_dict(model.state_dict())
    other = optimizer_of(twin)
    other.load_state_dict(saved)
    give_gradients(twin, seed=1)
    other.step()
    counts = {float(state["step"]) for state in other.state.values() if "step" in state}
    assert counts == {2.0}


SHAPES = [(3, 8), (8, 3), (16, 16), (5, 40), (40, 5), (16, 16), (12, 33)]
PLAN = Iteration(tuple(TIMM.resolve_ns_coefficients("quintic", TIMM._COEFFICIENTS)), 1e-7, 1.0, False, torch.float64)


@pytest.mark.parametrize("damped", [False, True])
def test_padding_changes_nothing_but_rounding(damped: bool) -> None:
    """In float64, where rounding is far away: every matrix as timm's iteration leaves it alone."""
    torch.manual_seed(0)
    plan = Iteration(PLAN.coefficients, 1e-2, 1.25, damped, torch.float64)
    matrices = [torch.randn(shape, dtype=torch.float64) for shape in SHAPES]
    packed = PackedMatrices(SHAPES, plan, torch.device("cpu"))
    assert len(packed.stacks) < len({tuple(sorted(shape)) for shape in SHAPES})
    values = packed.orthogonalise(torch.cat([matrix.flatten() for matrix in matrices]))
    for matrix, found in zip(matrices, values.split([matrix.numel() for matrix in matrices]), strict=True):
        alone = TIMM.zeropower_via_newtonschulz(
            matrix, 5, list(plan.coefficients), eps=1e-2, safety_factor=1.25, dtype=torch.float64, scale_eps=damped
        )
        torch.testing.assert_close(found.view(matrix.shape), alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_stacks_of_one_shape_hold_the_bits_of_matrices_alone(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    matrices = [torch.randn(48, 96), torch.randn(24, 30), torch.randn(48, 96), torch.randn(96, 48)]

    def zeropower(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = TIMM.zeropower_via_newtonschulz(x, 5, list(PLAN.coefficients), dtype=dtype)
        return found

    found = orthogonalise_stacked(matrices, zeropower)
    assert all(torch.equal(a, zeropower(matrix)) for a, matrix in zip(found, matrices, strict=True))


def test_stacks_are_joined_where_launches_cost_more_than_zeros() -> None:
    many_small = choose_stacks([(4, 4 + n) for n in range(20)])
    assert many_small == [((4, 23), list(range(20)))]
    far_apart = choose_stacks([(64, 64)] * 50 + [(1024, 4096)])
    assert [shape for shape, _ in far_apart] == [(64, 64), (1024, 4096)]
    assert flops((1024, 4096)) > 1000 * flops((64, 64))


def test_outgrid_is_orthogonalised_in_under_sixty_launches() -> None:
    torch.manual_seed(0)
    model = create_model("outgrid_7m", 100, 32).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = optimizer_of(model)
    optimizer.on_device = True  # type: ignore[attr-defined]
    give_gradients(model, seed=0)
    optimizer.step()
    with Operations() as whole:
        optimizer.step()
    packed = next(iter(optimizer._packed.values()))  # type: ignore[attr-defined]
    values = torch.randn(packed.size)
    with Operations() as iterations:
        packed.orthogonalise(values)
    assert iterations.launches() == LAUNCHES * len(packed.stacks) + 3 < 60
    assert whole.launches() < 150 and not whole.counts["_local_scalar_dense"]
    with torch.no_grad(), Operations() as matrices:
        members, _ = optimizer._routed()  # type: ignore[attr-defined]
        update_matrices_on_device(optimizer.state, members, _Scaling({}, None), TIMM, optimizer._packed)  # type: ignore[attr-defined]
    assert matrices.launches() < 70
