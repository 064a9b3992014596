"""How many runs at once: what is tried, which way wins, and what stands in the study's folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from levelfield.cli.study.app import app
from levelfield.cli.study.runs_at_once import _at_once
from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.studies.results.run_folders import find_all
from levelfield.studies.running import choose_parallel as module
from levelfield.studies.running.choose_parallel import (
    StepTrial,
    Trial,
    best,
    recorded_choice,
    try_parallel,
    ways_to_share,
)
from levelfield.studies.running.time_estimate import Estimate
from levelfield.study import Study
from levelfield.system.machine import processor_name

Write = Callable[..., Path]


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelfield.studies.running.choose_parallel.usable_cores", lambda: 2)
    monkeypatch.setattr(module, "SECONDS", 0.1)
    monkeypatch.setattr(module, "TURNS", 2)


def tried(path: Path, out: Path) -> Trial | None:
    return try_parallel(find_all(out, Study.load(path).plan()), Progress(shown=False))


def run_study(path: Path, out: Path, *options: str) -> str:
    """What `study run` prints."""
    done = CliRunner().invoke(app, ["run", str(path), "--out", str(out), "--yes", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    ("cores", "runs", "ways"),
    [(1, 9, {1: 1}), (2, 9, {1: 2, 2: 1}), (6, 3, {1: 6, 2: 3}), (64, 99, {1: 64, 2: 32, 4: 16, 8: 8}), (8, 0, {})],
)
def test_cores_are_shared_out_by_powers_of_two(cores: int, runs: int, ways: dict[int, int]) -> None:
    assert ways_to_share(cores, runs) == ways


def test_more_at_once_must_be_clearly_faster() -> None:
    assert best({1: [100.0, 90.0, 500.0], 2: [104.0, 10.0, 900.0]}) == 1
    assert best({1: [100.0, 90.0, 110.0], 2: [106.0, 106.0, 90.0]}) == 2
    assert best({1: [100.0], 2: [50.0], 4: [150.0]}) == 4


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--parallel", "auto"], []], ids=["asked for", "long work"])
def test_a_study_run_tries_and_records_it(
    options: list[str], study_file: Write, tmp_path: Path, two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levelfield.cli.study.runs_at_once.WORTH_A_TRIAL_S", 0.0)
    path, out = study_file(models=["resnet_nano"]), tmp_path / "out"
    said = run_study(path, out, *options)
    told = json.loads((out / "parallel.json").read_text())
    assert f"tried: {told['chosen']} run" in said
    assert [(way["parallel"], way["threads"]) for way in told["tried"]] == [(1, 2), (2, 1)]
    assert all(len(way["images_per_s"]) == 2 and min(way["images_per_s"]) > 0 for way in told["tried"])
    assert told["row"] == "resnet_nano" and told["cores"] == 2
    logs = list(out.glob("*/*/train.log"))
    assert len(logs) == (2 if told["chosen"] == 2 else 0)  # runs in processes have one each
    assert len(list(out.glob("*/*/predictions.parquet"))) == 2
    assert recorded_choice(out) == told["chosen"]
    assert tried(path, out) is None  # all is done


@pytest.mark.parametrize(
    ("kept", "options", "logs"),
    [
        ({"chosen": 2, "cores": 2}, [], 2),  # the next start trains as the first did
        ({"chosen": 2, "cores": 64}, [], 0),  # chosen on another machine
        ({"chosen": 2, "cores": 2}, ["--parallel", "1"], 0),
        ("no JSON", [], 0),
        (None, [], 0),  # short work
    ],
    ids=str,
)
def test_what_was_chosen_before_is_kept_to(
    kept: Any, options: list[str], logs: int, study_file: Write, tmp_path: Path, two_cores: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "images_per_s", None)  # nothing is tried
    monkeypatch.setattr("levelfield.cli.study.runs_at_once.WORTH_A_TRIAL_S", 1e6)
    out = tmp_path / "out"
    out.mkdir()
    if isinstance(kept, dict):
        kept = json.dumps({"processor": processor_name(), **kept})
    if kept is not None:
        (out / "parallel.json").write_text(kept)
    run_study(study_file(models=["resnet_nano"]), out, *options)
    assert len(list(out.glob("*/*/train.log"))) == logs


def test_a_trial_that_nobody_asked_for_may_fail(
    study_file: Write, tmp_path: Path, two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise UserError("no second process here")

    monkeypatch.setattr(module, "images_per_s", fails)
    monkeypatch.setattr("levelfield.cli.study.runs_at_once.WORTH_A_TRIAL_S", 0.0)
    out = tmp_path / "out"
    assert "one run at a time: no second process here" in run_study(study_file(models=["resnet_nano"]), out)
    assert len(list(out.glob("*/*/predictions.parquet"))) == 2 and not (out / "parallel.json").exists()


@pytest.mark.parametrize("at", ["start", "turn"])
def test_a_trial_on_a_machine_that_is_too_busy_is_given_up(
    at: str, study_file: Write, tmp_path: Path, two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = study_file(models=["resnet_nano"], baseline=None, seeds=2)
    if at == "start":
        monkeypatch.setattr(module, "LIMIT_S", 0.05)
    else:
        begin = StepTrial.begin

        def after_it_was_given_up(trial: StepTrial, threads: int, seconds: float) -> None:
            trial._give_up()
            trial._process.wait()
            begin(trial, threads, seconds)

        monkeypatch.setattr(StepTrial, "begin", after_it_was_given_up)
    with pytest.raises(UserError, match="the machine is too busy to try how many runs at once are fastest"):
        tried(path, tmp_path / "out")


def test_a_plan_that_tries_writes_nothing(
    study_file: Write, tmp_path: Path, two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "images_per_s", lambda *_: {1: [50.0], 2: [100.0]})
    path = study_file(models=["resnet_nano"])
    seconds = []
    for parallel in ("1", "auto"):
        command = ["plan", str(path), "--out", str(tmp_path / "out"), "--parallel", parallel, "--json"]
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0
        seconds.append(json.loads(done.stdout)["seconds_left"])
    assert "2 runs at once train 2 times as fast as one" in done.stderr
    assert seconds[1] < seconds[0]
    assert not (tmp_path / "out").exists()


def test_the_time_left_is_that_of_the_chosen_way() -> None:
    found = Estimate({"a": 10.0, "b": 40.0}, {}, 100.0)
    faster = _at_once(found, Trial("a", {1: [100.0], 2: [160.0]}, {1: 2, 2: 1}))
    assert faster.per_run_s == {"a": 12.5, "b": 50.0} and faster.left_s == 62.5
    assert _at_once(found, Trial("a", {1: [100.0], 8: [800.0]}, {1: 8, 8: 1})).left_s == 40.0  # one run is the longest


def test_one_core_or_threads_that_are_given_need_no_trial(
    study_file: Write, tmp_path: Path, two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "images_per_s", None)
    study = Study.load(study_file())
    given = find_all(tmp_path / "out", study.plan(overrides=["execution.threads=1"]))
    assert try_parallel(given, Progress(shown=False)) is None
    monkeypatch.setattr("levelfield.studies.running.choose_parallel.usable_cores", lambda: 1)
    assert tried(study_file(), tmp_path / "out") is None


def test_a_row_that_cannot_be_run_says_why(
    study_file: Write, tmp_path: Path, two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVELFIELD_DATA", str(tmp_path / "no data here"))
    path = study_file(data={"name": "cifar10", "image_size": 32, "train_limit": 200})
    with pytest.raises(UserError, match=r"the trial of how many runs(.|\n)*give --parallel a number"):
        tried(path, tmp_path / "out")
