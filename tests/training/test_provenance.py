"""A run says of itself what a comparison must know: that it failed before it finished, and every machine it saw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import run_spec

from levelfield.runs import RunFolder
from levelfield.training import NonFiniteLossError, prepare, train_prepared, training_loop
from levelfield.training.environment import describe_environment, with_earlier


def test_a_run_that_diverged_and_went_on_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = run_spec("budget.steps=8", "execution.log_every_steps=1", "execution.checkpoint_every_steps=1")
    exact, calls = training_loop.cross_entropy_sum, []

    def once_infinite(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        return exact(*arguments) * (float("inf") if len(calls) == 4 else 1.0)

    monkeypatch.setattr(training_loop, "cross_entropy_sum", once_infinite)
    with pytest.raises(NonFiniteLossError):
        train_prepared(prepare(spec), tmp_path / "run")
    result = train_prepared(prepare(spec), tmp_path / "run").result
    assert result["status"] == "finished" and result["resumed_from"] == [3]
    assert len(result["failed_before"]) == 1 and "not finite at step 4" in result["failed_before"][0]
    assert RunFolder(tmp_path / "run").failures() == result["failed_before"]


def test_a_run_that_never_failed_says_so(tmp_path: Path) -> None:
    result = train_prepared(prepare(run_spec("budget.steps=2")), tmp_path / "run").result
    assert result["failed_before"] == [] and RunFolder(tmp_path / "run").failures() == []


def test_the_environments_of_earlier_starts_are_kept(tmp_path: Path) -> None:
    prepared = prepare(run_spec("budget.steps=2"))
    train_prepared(prepared, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    other = {**folder.environment(), "processor": "Another CPU"}
    (folder.path / "environment.json").write_text(json.dumps(other))
    (folder.path / "result.json").unlink()
    train_prepared(prepared, tmp_path / "run")
    found = folder.environment()
    assert found["processor"] != "Another CPU" and found["earlier"] == [other]


def test_each_other_environment_is_kept_once() -> None:
    a, b = {"machine": "a"}, {"machine": "b"}
    assert with_earlier(a, {}) == with_earlier(a, a) == a
    assert with_earlier(b, a) == {**b, "earlier": [a]}
    assert with_earlier(b, with_earlier(b, a)) == {**b, "earlier": [a]}
    assert with_earlier(a, with_earlier(b, a)) == {**a, "earlier": [a, b]}


def test_machines_are_told_apart_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    here = describe_environment(torch.device("cpu"))["machine"]
    assert here == describe_environment(torch.device("cpu"))["machine"] and len(here) == 8
    monkeypatch.setattr("platform.node", lambda: "somewhere-else")
    there = describe_environment(torch.device("cpu"))["machine"]
    assert there != here and "somewhere" not in there
