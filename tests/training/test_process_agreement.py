"""Processes that do not share a folder, or not the same run: they agree before they train, or are refused."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import in_ranks
from small_run import SMOOTH, run_spec, stopped_at

from levelfield.errors import UserError
from levelfield.runs import RunFolder
from levelfield.spec import RunSpec
from levelfield.training import Interrupted, prepare, train_prepared, training_loop
from levelfield.training import run as run_module
from levelfield.training.checkpoint_file import load_newest
from levelfield.training.processes import SaidElsewhereError

SGD = "recipe.optimizer={name: sgd, lr: 0.01, momentum: 0.9}"


def train(spec: RunSpec, out: Path) -> dict[str, Any]:
    return train_prepared(prepare(spec), out).result


@pytest.mark.parametrize("holder", [0, 1])
def test_nodes_without_a_shared_folder_go_on_from_the_newest_checkpoint_of_any(
    holder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = run_spec(
        SMOOTH, SGD, "budget.steps=16", "execution.log_every_steps=1", "recipe.averaging={name: ema, decay: 0.9}"
    )
    whole = train(spec, tmp_path / "whole")
    stopped_at(9, spec, tmp_path / f"node{holder}", monkeypatch)
    stopped_at(4, spec, tmp_path / f"node{1 - holder}", monkeypatch)
    first, second = in_ranks([lambda node=node: train(spec, tmp_path / f"node{node}") for node in (0, 1)])
    assert isinstance(first, dict) and first == second
    assert first["resumed_from"] == [9]
    assert first["loss"] == pytest.approx(whole["loss"], abs=1e-4)
    assert (tmp_path / "node0/weights.safetensors").is_file() and not (tmp_path / "node1/weights.safetensors").exists()
    steps = [line["step"] for line in RunFolder(tmp_path / "node0").metrics() if line["kind"] == "train"]
    assert steps == sorted(set(steps)) and steps[-7:] == list(range(10, 17))


def test_only_one_node_has_the_folder_of_a_finished_run(tmp_path: Path) -> None:
    spec = run_spec("budget.steps=2")
    alone = train(spec, tmp_path / "node0")
    outcomes = in_ranks([lambda node=node: train(spec, tmp_path / f"node{node}") for node in (0, 1)])
    assert outcomes == [alone, alone]


def test_processes_with_other_data_are_refused_on_all_and_told_by_one(tmp_path: Path) -> None:
    specs = [run_spec("budget.steps=2"), run_spec("budget.steps=2", "data.train_limit=150")]
    first, second = in_ranks([lambda spec=spec: train(spec, tmp_path / "run") for spec in specs])
    assert type(first) is UserError and type(second) is SaidElsewhereError
    assert "has another run than process 0" in str(first) and "data.train_limit is 150, not 200" in str(first)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_run_is_told_by_one(tmp_path: Path) -> None:
    train(run_spec("budget.steps=2", "seed=3"), tmp_path / "run")
    first, second = in_ranks([lambda: train(run_spec("budget.steps=2"), tmp_path / "run")] * 2)
    assert type(first) is UserError and "holds another run" in str(first)
    assert type(second) is SaidElsewhereError


def test_what_ends_one_process_ends_all_at_once_and_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = run_spec("budget.steps=50", "execution.checkpoint_every_steps=5")
    exact = run_module.Attempt.after_step

    def out_of_memory_later(self: run_module.Attempt, state: Any) -> bool:
        if state.step == 7 and state.world.rank == 1:
            raise torch.OutOfMemoryError("no more")
        return exact(self, state)

    monkeypatch.setattr(run_module.Attempt, "after_step", out_of_memory_later)
    began = time.monotonic()
    first, second = in_ranks([lambda: train(spec, tmp_path / "run")] * 2)
    assert time.monotonic() - began < 60
    assert type(second) is UserError and "out of memory" in str(second)
    assert type(first) is UserError and "process 1 on" in str(first) and "out of memory" in str(first)
    result = RunFolder(tmp_path / "run").result()
    assert result is not None and result["status"].startswith("failed: process 1 on")
    state, _ = load_newest(tmp_path / "run" / "checkpoints", prepare(spec).identity)
    assert state is not None and state["step"] == 5


def test_a_stop_asked_of_one_process_reaches_all_soon_however_slow_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = training_loop.train_step

    def slow(state: Any, *arguments: Any) -> None:
        time.sleep(0.3)
        if state.step == 2 and state.world.rank == 1:
            signal.raise_signal(signal.SIGTERM)
        exact(state, *arguments)

    monkeypatch.setattr(training_loop, "train_step", slow)
    outcomes = in_ranks([lambda: train(run_spec("budget.steps=50"), tmp_path / "run")] * 2)
    assert [type(outcome) for outcome in outcomes] == [Interrupted] * 2
    state, _ = load_newest(tmp_path / "run" / "checkpoints", prepare(run_spec("budget.steps=50")).identity)
    assert state is not None and 3 <= state["step"] <= 5


def test_another_start_of_the_weights_is_not_mixed(tmp_path: Path) -> None:
    """A network that draws its first weights from elsewhere than the run's seed: all take those of rank 0."""
    spec = run_spec(SMOOTH, SGD, "budget.steps=6", "recipe.averaging={name: ema, decay: 0.5}")
    prepared = prepare(spec)

    def with_own_start() -> dict[str, Any]:
        def build() -> torch.nn.Module:
            model = prepared.build_model()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(1.0 + 0.01 * int(os.environ.get("RANK", "0")))
            return model

        return train_prepared(replace(prepared, build_model=build), tmp_path / "run").result

    whole = train(spec, tmp_path / "whole")
    outcomes = in_ranks([with_own_start] * 2)
    assert isinstance(outcomes[0], dict), outcomes
    assert outcomes[0]["loss"] == pytest.approx(whole["loss"], abs=1e-4)
