"""A run says of itself what a comparison must know: that it failed before it finished, and every machine it saw."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import run_spec

from levelfield.errors import UserError
from levelfield.models import weights_digest
from levelfield.runs import RunFolder
from levelfield.system.source_digest import source_digest
from levelfield.training import NonFiniteLossError, environment, load_run, prepare, train_prepared, training_loop
from levelfield.training.environment import describe_environment, with_earlier
from levelfield.training.evaluate_finished_run import retest


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


def test_the_commit_is_that_of_the_checkout_or_worktree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git")

    def git(*words: str, cwd: Path = tmp_path / "main") -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", *who, *words], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()

    def told(root: Path) -> Any:
        monkeypatch.setattr(environment, "__file__", str(root / "src" / "levelfield" / "training" / "environment.py"))
        return describe_environment(torch.device("cpu"))["git_commit"]

    (tmp_path / "main").mkdir()
    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "one")
    git("worktree", "add", "-q", "-b", "side/branch", "../side")
    git("commit", "-q", "--allow-empty", "-m", "two", cwd=tmp_path / "side")
    heads = [git("rev-parse", "HEAD", cwd=tmp_path / name) for name in ("main", "side")]
    assert heads[0] != heads[1] and [told(tmp_path / "main"), told(tmp_path / "side")] == heads
    git("pack-refs", "--all")
    assert [told(tmp_path / "main"), told(tmp_path / "side")] == heads
    git("checkout", "-q", "--detach", cwd=tmp_path / "side")
    assert told(tmp_path / "side") == heads[1]
    assert told(tmp_path) is None


def test_what_was_changed_after_the_commit_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of a checkout, or one with edits, has a commit that is not the code that ran."""
    package = tmp_path / "levelfield"
    package.mkdir()
    (package / "__init__.py").write_text("one")
    monkeypatch.setattr("levelfield.system.source_digest.PACKAGE", package)
    digests = []
    for text in ("one", "two", "one"):
        (package / "__init__.py").write_text(text)
        source_digest.cache_clear()
        digests.append(describe_environment(torch.device("cpu"))["source"])
    source_digest.cache_clear()
    assert digests[0] == digests[2] != digests[1] and len(digests[0]) == 16


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


def test_weights_that_the_run_did_not_end_with_are_used_nowhere(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, seed in ((one, 0), (two, 1)):
        result = train_prepared(prepare(run_spec("budget.steps=2", f"seed={seed}")), folder).result
        assert result["weights_digest"] == weights_digest(str(folder))
    load_run(one)
    shutil.copy(two / "weights.safetensors", one / "weights.safetensors")
    uses: dict[str, Callable[[], object]] = {
        "loaded": lambda: load_run(one),
        "evaluated": lambda: retest(one),
        "started from": lambda: prepare(run_spec(f"model.start_from={{source: {one}}}")),
        "a teacher": lambda: prepare(run_spec(f"recipe.distil.teacher={one}")),
    }
    for use in uses.values():
        with pytest.raises(UserError, match="does not hold the weights that this run ended with"):
            use()
