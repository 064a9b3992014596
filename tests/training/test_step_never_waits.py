"""No training step makes the host wait for the device: counted with what runs anywhere, and on a GPU if there is one.

Without a GPU the input path runs on torch's meta device, which computes nothing and refuses to tell a value; the step
runs on the CPU with every way of asking for a value counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from small_run import run_spec
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from levelfield import randomness
from levelfield.data import ImageData, from_arrays, make_loader
from levelfield.spec import Freeze, RunSpec, list_recipes, load_recipe
from levelfield.training.batch_inputs import Batch, TrainingInputs
from levelfield.training.optimizer_steps import Updates
from levelfield.training.own_model import OwnModel
from levelfield.training.prepare_run import prepare
from levelfield.training.processes import World
from levelfield.training.steps_and_phases import make_plan
from levelfield.training.training_loop import train_step
from levelfield.training.training_state import TrainState

ASKING = ("item", "tolist", "cpu", "numpy", "nonzero", "__bool__", "__int__", "__float__", "__index__")
"""Tensor's methods that make the host wait for the values of a tensor on a device."""
READING = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "_unique2")
"""The operators that do so, from wherever they are called."""


class Operators(TorchDispatchMode):
    """Notes the operators of READING, and indexing by a mask."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._opname
        masks = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if name in READING or masks:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, host: str = "") -> Iterator[list[str]]:
    """What asks for the values of tensors inside. Tensors on the device `host` may be asked: the host holds them."""
    seen: list[str] = []

    def noting(name: str) -> Any:
        real = getattr(Tensor, name)

        def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
            if self.device.type != host:
                seen.append(name)
            return real(self, *args, **kwargs)

        return method

    real_to = Tensor.to

    def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        moved = real_to(self, *args, **kwargs)
        if moved.device != self.device and not kwargs.get("non_blocking"):
            seen.append(f"to {moved.device}")
        return moved

    real_tensor = torch.tensor

    def tensor(*args: Any, **kwargs: Any) -> Tensor:  # made on the host, and copied while it waits
        made = real_tensor(*args, **kwargs)
        if made.device.type not in ("cpu", host):
            seen.append(f"tensor on {made.device}")
        return made

    with monkeypatch.context() as patch:
        for name in ASKING:
            patch.setattr(Tensor, name, noting(name))
        patch.setattr(Tensor, "to", to)
        patch.setattr(torch, "tensor", tensor)
        yield seen


def images(size: int, count: int = 64) -> ImageData:
    pixels = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
    labels = torch.arange(count) % 10
    return from_arrays((pixels, labels), (pixels, labels))


@pytest.mark.parametrize("name", list_recipes())
@pytest.mark.parametrize("world", [1, 2])
def test_no_input_waits_for_the_device(name: str, world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every shipped recipe's crops, policies, erasing, mixing and targets, of one process and of two."""
    recipe = load_recipe(name).recipe.model_copy(update={"batch_size": 16})
    data, meta = images(36), torch.device("meta")
    monkeypatch.setattr("levelfield.training.batch_inputs.AHEAD_VALUES", 1 << 14)
    loader = make_loader(data.train, batch_size=16, seed=0, shuffle=True, device=meta, rank=world - 1, world=world)
    inputs = TrainingInputs(loader, recipe, data, 32, 0, channels_last=True)
    list(inputs.epoch(0, 3))  # constants are copied once
    with counted(monkeypatch, host="cpu") as seen:
        batches = list(inputs.epoch(1, 0))
    assert not seen
    assert len(batches) == 4 and all(part.device == meta for batch in batches for part in batch[:3])


def test_mixing_of_each_row_by_itself_makes_its_map_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from levelfield.data.augment import build_mix
    from levelfield.spec import Mix

    mixing = build_mix(Mix(mixup_alpha=0.8, cutmix_alpha=1.0, mode="element"), 32)
    plan, x = mixing.plan(16, 0, 0, 0), torch.empty(16, 3, 32, 32, device="meta")
    assert plan.weights(None, 32, 32).shape == (16, 1, 32, 32)
    made: list[tuple[int, ...]] = []
    real = torch.Tensor.to

    def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        moved = real(self, *args, **kwargs)
        if moved.device != self.device:
            made.append(tuple(self.shape))
        return moved

    monkeypatch.setattr(Tensor, "to", to)
    assert mixing.apply(x, plan).device.type == "meta"
    assert sorted(made) == [(16,), (16,), (16, 4)]  # the partners, the shares and the corners; no map


def tiny(num_classes: int) -> nn.Module:
    """A network without convolutions, which a CPU computes slowly in fp16, with a norm and its integer buffer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, num_classes))


def fp16_state(*changes: str) -> tuple[TrainState, RunSpec]:
    """A run in fp16 with a loss scaler on the CPU, which the command refuses for its slowness."""
    spec = run_spec("recipe.optimizer.options={fused: true}", "recipe.regularisation.clip_norm=1.0", *changes)
    prepared = prepare(spec, data=images(16), own=OwnModel.of(tiny))
    recipe = prepared.spec.recipe.model_copy(update={"precision": "fp16"})
    plan = make_plan(recipe, spec.budget, 64)
    return TrainState(prepared.build_model(), recipe, plan, spec.execution, torch.device("cpu"), World()), spec


def batch(seed: int, overflows: bool = False) -> Batch:
    x = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(32) % 10
    return Batch(x * (torch.inf if overflows else 1.0), labels, labels, 32)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_no_step_asks_for_a_value(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state, _ = fp16_state("recipe.averaging={name: ema, decay: 0.9}")
    if precision == "fp32":
        spec = run_spec("recipe.averaging={name: ema, decay: 0.9}", "recipe.optimizer.options={fused: true}")
        prepared = prepare(spec, data=images(16), own=OwnModel.of(tiny))
        plan = make_plan(spec.recipe, spec.budget, 64)
        state = TrainState(prepared.build_model(), spec.recipe, plan, spec.execution, torch.device("cpu"), World())
    state.train_mode()
    for step in range(3):
        with counted(monkeypatch) as seen, Operators(seen):
            state.enter_step()
            randomness.seed_model(0, step, 0)
            train_step(state, batch(step))
            state.step += 1
        assert not seen


def test_the_counters_count(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(3)
    with counted(monkeypatch) as seen, Operators(seen):
        x.sum().item(), x[x > 0], bool(x[0]), x.tolist(), x.to("meta"), torch.nonzero(x)
    assert {"item", "_local_scalar_dense", "index", "__bool__", "tolist", "to meta", "nonzero"} <= set(seen)


def run_steps(state: TrainState, overflowing: set[int], count: int) -> list[float]:
    state.train_mode()
    rates = []
    for step in range(count):
        state.enter_step()
        rates.append(state.lr)
        # BatchNorm's statistics see an overflow too; that is not what is compared here
        kept = {name: value.clone() for name, value in state.model.named_buffers()}
        train_step(state, batch(step, step in overflowing))
        if step in overflowing:
            for name, value in state.model.named_buffers():
                value.copy_(kept[name])
        state.step += 1
    return rates


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("fused", ["true", "false"])
def test_a_skipped_step_advances_neither_schedule_nor_average(fused: str, every: int) -> None:
    changes = (
        f"recipe.optimizer.options={{fused: {fused}}}",
        f"recipe.averaging={{name: ema, decay: 0.9, every_steps: {every}}}",
        "budget.epochs=10",
    )
    state, _ = fp16_state(*changes)
    assert state.updates.on_device is (fused == "true")
    before = None
    rates = run_steps(state, {2, 3}, 2)
    assert state.average is not None
    before = {name: value.clone() for name, value in state.average.module.state_dict().items()}
    scale, weights = state.scaler.get_scale(), [p.detach().clone() for p in state.model.parameters()]
    state.enter_step()
    train_step(state, batch(2, overflows=True))
    assert state.scaler.get_scale() < scale and state.updates.count == 2
    assert all(torch.equal(old, new) for old, new in zip(weights, state.model.parameters(), strict=True))
    after = state.average.module.state_dict()
    parameters = dict(state.average.module.named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in parameters)
    assert state.average.state_dict()["updates"] == 2 // every
    planned = [state.plan.phases[0].learning_rate(update, state.plan.steps_per_epoch) for update in range(3)]
    assert rates + [state.lr] == pytest.approx(planned, rel=1e-6)


@pytest.mark.parametrize("overflowing", [{1, 4}, {0, 1}])
def test_counting_on_the_device_trains_what_counting_on_the_host_trains(overflowing: set[int]) -> None:
    """From the first step on, in which a fused SGD would allocate its momentum."""
    changes = ("recipe.averaging={name: ema, decay: 0.9, every_steps: 2}", "budget.epochs=10")
    changes += ("recipe.optimizer={name: sgd, lr: 1e-2, momentum: 0.9, options: {fused: true}}",)
    device, _ = fp16_state(*changes)
    host, _ = fp16_state(*changes, "recipe.optimizer.options={fused: false}")
    rates = [run_steps(state, overflowing, 9) for state in (device, host)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-6)
    assert device.updates.count == host.updates.count == 7
    assert device.average is not None and host.average is not None
    assert device.average.state_dict()["updates"] == host.average.state_dict()["updates"] == 3
    for a, b in ((device.model, host.model), (device.average.module, host.average.module)):
        for (name, one), two in zip(a.named_parameters(), b.parameters(), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5, msg=name)


def test_a_run_goes_on_from_counts_on_the_device() -> None:
    state, _ = fp16_state("budget.epochs=10")
    run_steps(state, {1}, 4)
    saved = state.state_dict()
    other, _ = fp16_state("budget.epochs=10")
    other.load_state_dict(saved)
    assert saved["updates"] == other.updates.count == 3 and other.lr == state.lr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: torch counts what waits for it")
@pytest.mark.parametrize("name", list_recipes())
def test_no_step_waits_for_a_gpu(name: str) -> None:
    stated = load_recipe(name).recipe
    phases = tuple(phase.model_copy(update={"at_epoch": at}) for at, phase in enumerate(stated.phases, start=5))
    recipe = stated.model_copy(update={"batch_size": 32, "phases": phases})
    spec = run_spec("execution.device=cuda", "budget.epochs=10").model_copy(update={"recipe": recipe})
    prepared = prepare(spec, data=images(16, 320))
    recipe, device = prepared.spec.recipe, prepared.device
    plan = make_plan(recipe, spec.budget, 320)
    state = TrainState(prepared.build_model(), recipe, plan, spec.execution, device, World())
    loader = make_loader(prepared.data.train, batch_size=32, seed=0, shuffle=True, device=device)
    inputs = TrainingInputs(loader, recipe, prepared.data, 16, 0, channels_last=True)
    state.train_mode()
    try:
        for epoch in range(2):
            for each in inputs.epoch(epoch, 0):
                state.enter_step()
                train_step(state, each)
                state.step += 1
            if recipe.precision != "fp16" or state.updates.on_device:
                torch.cuda.set_sync_debug_mode("error")
    finally:
        torch.cuda.set_sync_debug_mode("default")


def as_on_a_gpu(state: TrainState) -> None:
    """Let the optimiser of a state on a CPU step as it would on a GPU: fused, or all of its values on the device."""
    optimizer = state.optimizer
    if hasattr(optimizer, "on_device"):
        optimizer.on_device = optimizer._step_supports_amp_scaling = True
    elif "fused" in optimizer.defaults:
        optimizer.defaults["fused"] = True
        for group in optimizer.param_groups:
            group["fused"] = True
        optimizer._step_supports_amp_scaling = True  # type: ignore[attr-defined]
    phase, scaled = state.plan.phases[state.phase], state.recipe.precision == "fp16"
    state.updates = Updates(optimizer, phase, state.plan.steps_per_epoch, state.device, scaled, state.updates.count)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("name", list_recipes())
def test_no_step_of_any_recipe_asks_for_a_value(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its optimisers (those of later phases too), clipping and averaging, with a loss scaler and without: what is
    dispatched reads nothing back, and the values are finite in the end. Where a scaler meets an optimiser that cannot
    skip by itself (AdamP, SGDP), it asks once a step, and nothing else does."""
    stated = load_recipe(name).recipe
    phases = tuple(phase.model_copy(update={"at_epoch": at}) for at, phase in enumerate(stated.phases, start=1))
    recipe = stated.model_copy(update={"batch_size": 32, "phases": phases, "freeze": Freeze(), "validation": 0.0})
    spec = run_spec("budget.epochs=6").model_copy(update={"recipe": recipe.model_copy(update={"precision": "fp32"})})
    prepared = prepare(spec, data=images(16), own=OwnModel.of(tiny))
    recipe = prepared.spec.recipe.model_copy(update={"precision": precision})
    plan = make_plan(recipe, spec.budget, 64)
    state = TrainState(prepared.build_model(), recipe, plan, spec.execution, torch.device("cpu"), World())
    monkeypatch.setattr("levelfield.training.projected_updates.DECIDED_BY_THE_HOST", ())
    as_on_a_gpu(state)
    state.train_mode()
    phase = 0
    for step in range(8):
        handing_over = state.plan.phase_at(state.step) != phase
        if handing_over:
            phase += 1
            state.enter_step()
            as_on_a_gpu(state)
        with counted(monkeypatch) as seen, Operators(seen):
            state.enter_step()
            randomness.seed_model(0, step, 0)
            train_step(state, batch(step, overflows=precision == "fp16" and step == 1))
            state.step += 1
        asks = precision == "fp16" and not state.updates.on_device
        assert step == 0 or seen == ["item", "_local_scalar_dense"] * asks
    assert state.updates.count > 0
    assert all(bool(parameter.isfinite().all()) for parameter in state.model.parameters())
