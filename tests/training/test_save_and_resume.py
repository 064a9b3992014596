"""What a run goes on from: nothing that is no number, nothing twice in its history, and no result hidden."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import run_spec, stopped_at

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import RunFolder
from levelfield.training import Interrupted, NonFiniteLossError, prepare, train_prepared, training_loop
from levelfield.training import run as run_module
from levelfield.training import validation_and_test as evaluation_module
from levelfield.training.checkpoint_file import load_newest, save_checkpoint
from levelfield.training.interrupts import StopRequest
from levelfield.training.metrics_journal import MetricsFile
from levelfield.training.not_finite import first_not_finite
from levelfield.training.training_state import TrainState

SPEC = run_spec(
    "budget.steps=12", "execution.checkpoint_every_steps=3", "execution.log_every_steps=1",
    "recipe.averaging={name: ema, decay: 0.9}", "recipe.optimizer={name: sgd, lr: 0.01, momentum: 0.9}",
)  # fmt: skip


def poison_model(state: TrainState) -> None:
    next(iter(state.model.parameters())).data[0] = float("nan")


def poison_buffer(state: TrainState) -> None:
    next(value for name, value in state.model.named_buffers() if name.endswith("running_var")).fill_(float("inf"))


def poison_average(state: TrainState) -> None:
    assert state.average is not None
    next(iter(state.average.module.parameters())).data[0] = float("nan")


def poison_optimizer(state: TrainState) -> None:
    first = next(iter(state.optimizer.state.values()))
    first["momentum_buffer"][0] = float("nan")


POISONS = [poison_model, poison_buffer, poison_average, poison_optimizer]


@pytest.mark.parametrize("poison", POISONS, ids=lambda poison: poison.__name__)
def test_what_is_no_number_is_never_saved(
    poison: Callable[[TrainState], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step before a checkpoint spoils something while every loss so far was finite."""
    exact = training_loop.train_step

    def spoiling(state: TrainState, *arguments: Any) -> None:
        exact(state, *arguments)
        if state.step == 5:  # the sixth step
            poison(state)

    monkeypatch.setattr(training_loop, "train_step", spoiling)
    told = r"a weight \(\w+/.*\) is not finite at step 6 .*\n.*; the last good checkpoint is kept"
    with pytest.raises(NonFiniteLossError, match=told):
        train_prepared(prepare(SPEC), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-000000003.ckpt"]
    result = RunFolder(tmp_path / "run").result()
    assert result is not None and result["status"].startswith("failed: a weight")


def train_steps_in(folder: RunFolder) -> list[int]:
    return [line["step"] for line in folder.metrics() if line["kind"] == "train"]


def test_a_run_goes_on_from_the_last_good_checkpoint_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest checkpoint holds NaN, as earlier versions saved them; from then on only one is kept."""
    whole = train_prepared(prepare(SPEC), tmp_path / "whole")
    out, identity = tmp_path / "pieces", prepare(SPEC).identity
    stopped_at(7, SPEC, out, monkeypatch)
    state, _ = load_newest(out / "checkpoints", identity)
    assert state is not None and state["step"] == 7
    name = next(iter(state["model"]))
    state["model"][name][0] = float("nan")
    save_checkpoint(out / "checkpoints", 7, state, keep=2)
    one_kept = SPEC.model_copy(update={"execution": SPEC.execution.model_copy(update={"keep_checkpoints": 1})})
    result = train_prepared(prepare(one_kept), out).result
    assert result["resumed_from"] == [6]
    assert (out / "weights.safetensors").read_bytes() == whole.folder.weights.read_bytes()
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-000000012.ckpt"]
    assert train_steps_in(RunFolder(out)) == train_steps_in(whole.folder) == list(range(1, 13))


def test_after_falling_back_the_checkpoints_that_follow_are_kept_not_the_one_passed_over(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, step, {"identity": "me", "step": step}, keep=3)
    (tmp_path / "step-000000015.ckpt").write_bytes(b"damaged")
    save_checkpoint(tmp_path, 12, {"identity": "me", "step": 12}, keep=1)
    state, notes = load_newest(tmp_path, "me")
    assert state is not None and state["step"] == 12 and notes == []


@pytest.mark.parametrize("content", [b"", b"\n", b"no checkpoint", b"0" * 64 + b"\nPK"])
def test_whatever_a_checkpoint_holds_the_one_before_serves(content: bytes, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 5, {"identity": "me", "step": 5}, keep=2)
    (tmp_path / "step-000000010.ckpt").write_bytes(content)
    (tmp_path / "step-old.ckpt").write_bytes(content)
    state, notes = load_newest(tmp_path, "me")
    assert state is not None and state["step"] == 5 and "step-000000010.ckpt is damaged" in notes[0]


def test_a_mask_that_is_infinite_from_the_start_is_no_fault() -> None:
    state = {"model": {"mask": torch.tensor([0.0, float("-inf")]), "weight": torch.ones(2)}, "best": None}
    assert first_not_finite(state) == "model/mask"
    assert first_not_finite(state, frozenset({"mask"})) is None
    state["model"]["mask"][0] = float("nan")
    assert first_not_finite(state, frozenset({"mask"})) == "model/mask"


def test_weights_that_are_no_numbers_before_training_are_refused(tmp_path: Path) -> None:
    prepared = prepare(SPEC)

    def build() -> torch.nn.Module:
        model = prepared.build_model()
        next(iter(model.parameters())).data.fill_(float("nan"))
        return model

    with pytest.raises(UserError, match="not finite before it is trained"):
        train_prepared(replace(prepared, build_model=build), tmp_path / "run")


WRITTEN = b'{"step": 2, "kind": "train"}\n{"step": 4, "kind": "train"}\n{"step": 4, "kind": "epoch"}\n{"step": 6}\n'


@pytest.mark.parametrize(
    ("found", "step", "kept"),
    [
        (WRITTEN, 4, 3),
        (WRITTEN, 5, 3),
        (WRITTEN, 9, 4),
        (WRITTEN, 0, 0),
        (WRITTEN[:-4], 9, 3),  # the last line cut off
        (WRITTEN[:30] + b"\0\0\0", 9, 1),
        (b"", 9, 0),
    ],
)
def test_history_is_cut_after_the_step_that_is_gone_on_from(found: bytes, step: int, kept: int, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(found)
    metrics = MetricsFile(path, step)
    assert metrics.lines == kept
    metrics.log(step + 1, {"kind": "train"})
    metrics.close()
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines[:kept] == WRITTEN.splitlines(keepends=True)[:kept] and len(lines) == kept + 1
    assert json.loads(lines[-1])["step"] == step + 1


def test_a_history_that_was_lost_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_at(7, SPEC, tmp_path / "run", monkeypatch)
    (tmp_path / "run/metrics.jsonl").unlink()
    said: list[str] = []
    monkeypatch.setattr(Progress, "note", lambda _, text: said.append(text))
    train_prepared(prepare(SPEC), tmp_path / "run", progress=Progress(shown=False))
    assert any(text.startswith("metrics.jsonl lacks 8 of its lines") for text in said)
    assert "training images kept in memory (resident): 200 images, 0.1 MiB, fit the budget of 4,096 MiB" in said


def test_a_result_that_is_written_stands_whatever_fails_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = run_module.write_result

    def failing_later(*arguments: Any) -> None:
        exact(*arguments)
        raise MemoryError

    monkeypatch.setattr(run_module, "write_result", failing_later)
    with pytest.raises(UserError, match="out of memory"):
        train_prepared(prepare(SPEC), tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert folder.finished and folder.failures() == []


def test_an_old_failure_is_not_the_state_of_a_run_that_was_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_result", failing)
        with pytest.raises(UserError, match="out of memory"):
            train_prepared(prepare(SPEC.model_copy(update={"seed": 1})), tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert str((folder.result() or {})["status"]).startswith("failed: out of memory")
    (folder.path / "checkpoints/step-000000012.ckpt").unlink()
    stopped_at(1, SPEC.model_copy(update={"seed": 1}), tmp_path / "run", monkeypatch)
    assert folder.result() is None and len(folder.failures()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_last_evaluation_stops_what_comes_next_and_keeps_the_result(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = run_module.write_result

    def with_signal(*arguments: Any) -> Any:
        signal.raise_signal(number)
        return exact(*arguments)

    monkeypatch.setattr(run_module, "write_result", with_signal)
    with pytest.raises(Interrupted, match=f"{number.name}: the run had just finished"):
        train_prepared(prepare(SPEC), tmp_path / "run")
    assert RunFolder(tmp_path / "run").finished


def test_after_a_time_limit_the_first_signal_still_waits_for_the_checkpoint() -> None:
    with StopRequest(1e-9) as stop:
        assert stop.requested() and stop.reason == "time limit"
        signal.raise_signal(signal.SIGINT)
        assert stop.signalled
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_test_loss_that_is_no_number_is_a_failure_and_no_internal_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = evaluation_module.evaluate_model

    def not_a_number(*arguments: Any, **options: Any) -> Any:
        found = exact(*arguments, **options)
        return replace(found, scores=replace(found.scores, loss=float("nan")))

    monkeypatch.setattr(evaluation_module, "evaluate_model", not_a_number)
    with pytest.raises(NonFiniteLossError, match="the loss on the test images is not finite"):
        train_prepared(prepare(SPEC), tmp_path / "run")
