"""How many runs at once: what is tried, which way wins, and what stands in the study's folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from levelfield.cli.study.app import app
from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.studies.results.run_folders import find_all
from levelfield.studies.running import choose_parallel as module
from levelfield.studies.running.choose_parallel import best, choose_parallel, ways_to_share
from levelfield.study import Study

Write = Callable[..., Path]


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelfield.studies.running.choose_parallel.usable_cores", lambda: 2)
    monkeypatch.setattr(module, "SECONDS", 0.1)
    monkeypatch.setattr(module, "TURNS", 2)


def chosen(path: Path, out: Path) -> int:
    return choose_parallel(find_all(out, Study.load(path).plan()), out, Progress(shown=False))


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
def test_a_study_run_with_auto_tries_and_records_it(study_file: Write, tmp_path: Path, two_cores: None) -> None:
    out = tmp_path / "out"
    command = ["run", str(study_file(models=["resnet_nano"])), "--out", str(out), "--parallel", "auto", "--yes"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0
    told = json.loads((out / "parallel.json").read_text())
    assert [(way["parallel"], way["threads"]) for way in told["tried"]] == [(1, 2), (2, 1)]
    assert all(len(way["images_per_s"]) == 2 and min(way["images_per_s"]) > 0 for way in told["tried"])
    assert told["row"] == "resnet_nano" and told["cores"] == 2
    logs = list(out.glob("*/*/train.log"))
    assert len(logs) == (2 if told["chosen"] == 2 else 0)  # runs in processes have one each
    assert len(list(out.glob("*/*/predictions.parquet"))) == 2
    (out / "parallel.json").unlink()
    assert chosen(study_file(models=["resnet_nano"]), out) == 1 and not (out / "parallel.json").exists()  # all is done


def test_one_core_or_threads_that_are_given_need_no_trial(
    study_file: Write, tmp_path: Path, two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "images_per_s", None)
    study = Study.load(study_file())
    given = find_all(tmp_path / "out", study.plan(overrides=["execution.threads=1"]))
    assert choose_parallel(given, tmp_path / "out", Progress(shown=False)) == 1
    monkeypatch.setattr("levelfield.studies.running.choose_parallel.usable_cores", lambda: 1)
    assert chosen(study_file(), tmp_path / "out") == 1


def test_a_row_that_cannot_be_run_says_why(
    study_file: Write, tmp_path: Path, two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVELFIELD_DATA", str(tmp_path / "no data here"))
    path = study_file(data={"name": "cifar10", "image_size": 32, "train_limit": 200})
    with pytest.raises(UserError, match=r"the trial of how many runs(.|\n)*give --parallel a number"):
        chosen(path, tmp_path / "out")
