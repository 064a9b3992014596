"""A captured step, without a GPU: its operators are recorded as they are dispatched, and replayed on the same memory.

As with a CUDA graph, nothing of Python runs in a replay: numbers that the host had when it was captured are baked in.
So a step that hides a count, a rate or a decision on the host comes out wrong here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import run_spec
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from levelfield import randomness
from levelfield.data import ImageData, from_arrays, make_loader
from levelfield.errors import UserError
from levelfield.spec import RunSpec
from levelfield.training.batch_inputs import Batch, TrainingInputs
from levelfield.training.own_model import OwnModel
from levelfield.training.prepare_run import Prepared, prepare
from levelfield.training.processes import World
from levelfield.training.step_graph import GraphedStep
from levelfield.training.steps_and_phases import make_plan
from levelfield.training.training_loop import step_of, train_step
from levelfield.training.training_state import TrainState


class Tape(TorchDispatchMode):
    """What is dispatched inside, in order: the operator, what it was given, and the tensors that it made."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func._opname not in {"_local_scalar_dense", "nonzero"}, "a captured step cannot wait for a value"
        made = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, list(_tensors(made)) if _fresh(func) else []))
        return made

    def replay(self) -> None:
        for func, args, kwargs, places in self.calls:
            made = func(*args, **kwargs)
            for place, value in zip(places, _tensors(made) if places else (), strict=True):
                if place.numel():
                    place.copy_(value)


def _fresh(func: Any) -> bool:
    """Whether an operator's results are new memory: neither views of what it was given nor that itself."""
    return all(result.alias_info is None for result in func._schema.returns)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)


class Recorder:
    """Captures by running, so that the first replay has happened already."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.captures = self.replays = 0
        self.before = before

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        self.before()
        self.captures += 1
        state: dict[str, Any] = {"tape": None}

        def replay() -> None:
            if state["tape"] is None:  # the batch is in its place now
                with Tape() as tape:
                    work()
                state["tape"] = tape
            else:
                self.replays += 1
                with torch.no_grad():
                    state["tape"].replay()

        return replay


def network(num_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(),
        nn.Linear(392, 32), nn.ReLU(), nn.Linear(32, num_classes),
    )  # fmt: skip


def images(count: int = 152) -> ImageData:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return from_arrays((pixels, torch.arange(count) % 10), (pixels, torch.arange(count) % 10))


MUON = "{name: muon, lr: 0.02, weight_decay: 0.1, momentum: 0.9, nesterov: true}"
FUSED = {"adamw": "{name: adamw, lr: 3e-3, options: {fused: true}}"}
FUSED["sgd"] = "{name: sgd, lr: 0.05, momentum: 0.9, nesterov: true, options: {fused: true}}"
EVERYTHING = [
    "recipe.mix={mixup_alpha: 0.2, probability: 0.5}", "recipe.regularisation={clip_norm: 1.0, label_smoothing: 0.0}",
    "recipe.averaging={name: ema, decay: 0.9, every_steps: 2}", "budget.epochs=4",
    "recipe.schedule={name: cosine, warmup: {steps: 3}}",
]  # fmt: skip


def state_of(spec: RunSpec, precision: str, graph: bool) -> tuple[TrainState, TrainingInputs]:
    prepared = prepare(spec, data=images(), own=OwnModel.of(network))
    recipe = prepared.spec.recipe.model_copy(update={"precision": precision})
    plan = make_plan(recipe, spec.budget, len(prepared.data.train))
    execution = spec.execution.model_copy(update={"step_graph": graph})
    with pytest.MonkeyPatch.context() as patch:  # as on a GPU, in both
        patch.setattr("levelfield.training.training_state.make_optimizer", _on_device)
        state = TrainState(prepared.build_model(), recipe, plan, execution, torch.device("cpu"), World())
    return state, _inputs(prepared, state)


def _on_device(*arguments: Any, **named: Any) -> torch.optim.Optimizer:
    from levelfield.training.optimizers import make_optimizer

    made = make_optimizer(*arguments, **named)
    if hasattr(made, "on_device"):
        made.on_device = made._step_supports_amp_scaling = True
    return made


def _inputs(prepared: Prepared, state: TrainState) -> TrainingInputs:
    loader = make_loader(prepared.data.train, batch_size=32, seed=0, shuffle=True)
    return TrainingInputs(loader, state.recipe, prepared.data, 16, 0, channels_last=True)


def train(
    state: TrainState, inputs: TrainingInputs, take_step: Callable[[TrainState, Batch], None], steps: int
) -> None:
    while state.step < steps:
        epoch, first = divmod(state.step, state.plan.steps_per_epoch)
        state.train_mode()
        for batch in inputs.epoch(epoch, first):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("levelfield.training.training_state.make_optimizer", _on_device)
                state.enter_step()
            randomness.seed_model(0, state.step)
            take_step(state, batch)
            state.step += 1
            if state.step == steps:
                break


def values(state: TrainState) -> dict[str, Tensor]:
    assert state.average is not None
    found = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    found |= {f"average.{name}": value for name, value in state.average.module.state_dict().items()}
    return found | {"sums": state.interval.sums}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("optimizer", [MUON, *FUSED.values()])
def test_a_captured_step_trains_what_a_step_trains(
    optimizer: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit: mixed and plain batches, a short last one, dropout, rates on the way up and down, the average. The
    other run counts on the device too (as it does anyway under fp16), so that both have rates in float32."""
    spec = run_spec(*EVERYTHING, f"recipe.optimizer={optimizer}")
    plain, inputs = state_of(spec, precision, graph=precision == "fp32")
    graphed, others = state_of(spec, precision, graph=True)
    recorder = Recorder()
    captured = GraphedStep(train_step, recorder)
    with monkeypatch.context() as patch:
        patch.setattr("levelfield.training.step_graph.WARM_UP", 100)
        train(plain, inputs, step_of(plain), 18)
    train(graphed, others, captured, 18)
    assert recorder.captures == 2  # of plain labels and of mixed ones
    assert recorder.replays >= 7
    assert plain.updates.count == graphed.updates.count == 18
    assert graphed.lr == pytest.approx(plain.lr, rel=1e-6)
    for (name, value), other in zip(values(plain).items(), values(graphed).values(), strict=True):
        assert torch.equal(value, other), name


def test_an_overflow_in_a_replay_is_skipped() -> None:
    spec = run_spec(*EVERYTHING, f"recipe.optimizer={FUSED['adamw']}", "recipe.mix={}")
    state, inputs = state_of(spec, "fp16", graph=True)
    recorder = Recorder()
    captured = GraphedStep(train_step, recorder)
    train(state, inputs, captured, 4)
    assert recorder.captures == 1 and recorder.replays == 1
    weights, count, scale = [p.detach().clone() for p in state.model.parameters()], 4, state.scaler.get_scale()
    batch = next(iter(inputs.epoch(1, 0)))
    captured(state, batch._replace(x=batch.x * torch.inf))
    assert recorder.replays == 2
    assert all(torch.equal(p, w) for p, w in zip(state.model.parameters(), weights, strict=True))
    assert state.updates.count == count and state.scaler.get_scale() < scale


def test_hand_overs_and_restarts_are_captured_anew() -> None:
    phases = f"recipe.phases=[{{at_epoch: 2, optimizer: {FUSED['sgd']}, schedule: {{name: constant}}}}]"
    spec = run_spec(*EVERYTHING, f"recipe.optimizer={FUSED['adamw']}", "recipe.mix={}", phases)
    plain, inputs = state_of(spec, "fp16", graph=False)
    train(plain, inputs, train_step, 18)
    graphed, others = state_of(spec, "fp16", graph=True)
    recorder = Recorder()
    train(graphed, others, GraphedStep(train_step, recorder), 7)
    saved = graphed.state_dict()
    resumed, again = state_of(spec, "fp16", graph=True)
    resumed.load_state_dict(saved)
    captured = GraphedStep(train_step, recorder)
    train(resumed, again, captured, 18)
    assert recorder.captures == 2  # before the stop, and after the hand-over: too few steps lie between
    for (name, value), other in zip(values(plain).items(), values(resumed).values(), strict=True):
        if name != "sums":
            assert torch.equal(value, other), name


def test_what_cannot_be_captured_is_carried_out_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    spec = run_spec(*EVERYTHING, "recipe.optimizer={name: adamp, lr: 1e-3}", "recipe.mix={}")
    plain, inputs = state_of(spec, "fp32", graph=False)
    graphed, others = state_of(spec, "fp32", graph=True)
    recorder = Recorder()
    train(plain, inputs, train_step, 6)
    train(graphed, others, GraphedStep(train_step, recorder), 6)
    told = capsys.readouterr().err
    assert told.count("not captured as one graph: the optimiser (AdamP) keeps values") == 1
    assert recorder.captures == 0
    assert all(torch.equal(a, b) for a, b in zip(values(plain).values(), values(graphed).values(), strict=True))


def test_a_capture_that_fails_costs_no_step(capsys: pytest.CaptureFixture[str]) -> None:
    spec = run_spec(*EVERYTHING, f"recipe.optimizer={FUSED['adamw']}", "recipe.mix={}")
    plain, inputs = state_of(spec, "fp16", graph=False)
    graphed, others = state_of(spec, "fp16", graph=True)

    def fails() -> None:
        graphed.scaler.unscale_(graphed.optimizer)  # what a capture had begun
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    train(plain, inputs, train_step, 6)
    train(graphed, others, GraphedStep(train_step, Recorder(fails)), 6)
    told = capsys.readouterr().err
    assert told.count("RuntimeError: operation not permitted when stream is capturing; it is carried out") == 1
    assert all(torch.equal(a, b) for a, b in zip(values(plain).values(), values(graphed).values(), strict=True))


def test_what_excludes_it_is_refused() -> None:
    with pytest.raises(UserError, match="this run is on cpu"):
        prepare(run_spec("execution.step_graph=true"))
    for other in ("execution.cuda_graphs=true", "execution.micro_batch=16"):
        with pytest.raises(UserError, match="does not go with it"):
            prepare(run_spec("execution.step_graph=true", other))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: a real capture")
@pytest.mark.parametrize("optimizer", [MUON, "{name: adamw, lr: 3e-3}", "{name: sgd, lr: 0.05, momentum: 0.9}"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_gpu_captures_it(optimizer: str, precision: str, tmp_path: Path) -> None:
    losses = []
    for graph in ("false", "true"):
        spec = run_spec(
            *EVERYTHING, f"recipe.optimizer={optimizer}", f"recipe.precision={precision}",
            "execution.device=cuda", "execution.deterministic=true", f"execution.step_graph={graph}",
        )  # fmt: skip
        prepared = prepare(spec, data=images(), own=OwnModel.of(network))
        plan = make_plan(prepared.spec.recipe, spec.budget, len(prepared.data.train))
        state = TrainState(
            prepared.build_model(), prepared.spec.recipe, plan, prepared.spec.execution, prepared.device, World()
        )
        loader = make_loader(prepared.data.train, batch_size=32, seed=0, shuffle=True, device=prepared.device)
        inputs = TrainingInputs(loader, state.recipe, prepared.data, 16, 0, channels_last=True)
        train(state, inputs, step_of(state), 18)
        losses.append(state.interval.read(World())[0])
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)
