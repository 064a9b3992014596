"""Times of training: compilation and warm-up apart, the work that a device still holds included."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import run_spec, stop_after
from torch import Tensor, nn

from levelfield.cost.energy import EnergyMeter
from levelfield.data import from_arrays
from levelfield.runs import RunFolder
from levelfield.training import prepare, train_prepared, training_loop
from levelfield.training import training_state as state_module
from levelfield.training import training_time as clock_module
from levelfield.training.interrupts import Interrupted
from levelfield.training.own_model import OwnModel
from levelfield.training.training_state import TrainState
from levelfield.training.training_time import WARM_UP_STEPS, TrainingClock

QUEUED_S, COMPILING_S, HOST_S = 2.0, 100.0, 0.125


class Device:
    """A clock on the wall and a device that does its work after the host has asked for it."""

    def __init__(self) -> None:
        self.now = self.busy_until = 0.0
        self.waits = 0

    def queue(self, seconds: float) -> None:
        self.now += HOST_S
        self.busy_until = max(self.busy_until, self.now) + seconds

    def synchronize(self, device: torch.device) -> None:
        self.now, self.waits = max(self.now, self.busy_until), self.waits + 1


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """Every training step of a run queues work on this device; its first step since the start compiles too."""
    made = Device()
    real, seen = training_loop.train_step, set()

    def step(state: TrainState, batch: Any) -> None:
        real(state, batch)
        made.queue(QUEUED_S + (0.0 if id(state) in seen else COMPILING_S))
        seen.add(id(state))

    class Time:
        perf_counter = staticmethod(lambda: made.now)

    monkeypatch.setattr(training_loop, "train_step", step)
    monkeypatch.setattr(clock_module, "synchronize", made.synchronize)
    monkeypatch.setattr(clock_module, "time", Time)
    yield made


def test_queued_work_is_counted_and_compilation_stands_apart(device: Device, tmp_path: Path) -> None:
    spec = run_spec("budget.epochs=3", "execution.log_every_steps=4")  # 7 steps an epoch, 200 images
    result = train_prepared(prepare(spec), tmp_path / "run").result
    steady = 21 - WARM_UP_STEPS
    assert result["compile_seconds"] == pytest.approx(COMPILING_S + WARM_UP_STEPS * QUEUED_S + HOST_S)
    assert result["train_seconds"] == pytest.approx(steady * QUEUED_S, rel=0.05)
    images = 3 * 200 - WARM_UP_STEPS * 32
    assert result["train_images_per_s"] == pytest.approx(images / result["train_seconds"])
    assert device.waits < 21  # at logs and epochs, not at steps
    lines = [line for line in RunFolder(tmp_path / "run").metrics() if line["kind"] == "train"]
    assert lines[0]["images_per_s"] == pytest.approx(32 / QUEUED_S, rel=0.1)


def test_a_run_that_goes_on_adds_its_own_warm_up(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = run_spec("budget.epochs=3", "execution.checkpoint_every_steps=10")
    from levelfield.training import interrupts

    with monkeypatch.context() as patch:
        patch.setattr(interrupts.StopRequest, "requested", lambda self: device.busy_until > COMPILING_S + 10 * QUEUED_S)
        with pytest.raises(Interrupted):
            train_prepared(prepare(spec), tmp_path / "run")
    stopped = json.loads((tmp_path / "run" / "starts.json").read_text())
    result = train_prepared(prepare(spec), tmp_path / "run").result
    assert stopped == [0] and result["resumed_from"][0] > WARM_UP_STEPS
    steady = 21 - 2 * WARM_UP_STEPS
    assert result["compile_seconds"] == pytest.approx(2 * (COMPILING_S + WARM_UP_STEPS * QUEUED_S), rel=0.01)
    assert result["train_seconds"] == pytest.approx(steady * QUEUED_S, rel=0.1)


def test_the_time_to_compile_a_network_is_no_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """torch.compile with a compiler that takes a second for what it is given and changes nothing."""
    compile, given = torch.compile, []

    def slowly(graph: torch.fx.GraphModule, examples: list[Tensor]) -> Callable[..., Any]:
        given.append(graph)
        time.sleep(1.0)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda net, mode=None: compile(net, backend=slowly))
    pixels, labels = torch.randint(0, 256, (64, 3, 16, 16), dtype=torch.uint8), torch.arange(64) % 10

    def linear(num_classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(768, num_classes))

    data = from_arrays((pixels, labels), (pixels, labels))
    spec = run_spec("execution.compile=true", "budget={steps: 8}")
    prepared = prepare(spec, data=data, own=OwnModel.of(linear))
    result = train_prepared(prepared, tmp_path / "run").result
    assert given and result["compile_seconds"] > len(given) and 0 < result["train_seconds"] < result["compile_seconds"]


def test_a_network_that_thaws_warms_up_again(device: Device, tmp_path: Path) -> None:
    spec = run_spec("recipe.freeze={patterns: ['stem*'], epochs: 1}", "budget.epochs=2")
    result = train_prepared(prepare(spec), tmp_path / "run").result
    assert result["train_seconds"] == pytest.approx((14 - 2 * WARM_UP_STEPS) * QUEUED_S, rel=0.1)


def test_a_run_of_nothing_but_warm_up_has_no_speed(tmp_path: Path) -> None:
    spec = run_spec(f"budget={{steps: {WARM_UP_STEPS}}}")
    result = train_prepared(prepare(spec), tmp_path / "run").result
    assert result["train_seconds"] == 0 and result["train_images_per_s"] is None and result["compile_seconds"] > 0


def test_pausing_twice_counts_once() -> None:
    clock = TrainingClock(torch.device("cpu"))
    clock.start()
    clock.step(8)
    clock.pause()
    before = clock.state_dict()
    clock.pause()
    assert clock.state_dict() == before and clock.compile_seconds > 0


def test_epochs_tell_the_joules_until_then_as_the_clock_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meter goes on by a joule whenever it is read: an interval of the clock, which reads it twice, takes one."""
    readings = count()
    meter = EnergyMeter(lambda: float(next(readings)), "the bench")
    monkeypatch.setattr(state_module, "energy_meter", lambda device: meter)
    spec = run_spec("budget.epochs=4")
    with monkeypatch.context() as patch:
        stop_after([5], patch)
        with pytest.raises(Interrupted):
            train_prepared(prepare(spec), tmp_path / "run")
    run = train_prepared(prepare(spec), tmp_path / "run")
    told = [line["train_joules"] for line in run.history if line["kind"] == "epoch"]
    assert len(told) == 4 and told == sorted(set(told)) and told[0] > 0
    assert run.result["resumed_from"] == [5] and told[-1] == run.result["train_joules"] == next(readings) / 2


def test_without_a_meter_epochs_tell_no_joules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "energy_meter", lambda device: None)
    run = train_prepared(prepare(run_spec("budget.epochs=1")), tmp_path / "run")
    assert run.history and not any("train_joules" in line for line in run.history)
