"""A folder, study, run or model given where another belongs: done, or answered with the command that takes it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.errors import UserError

STUDY = Path(__file__).parents[2] / "results" / "cpu" / "rexnet-cifar10"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(STUDY, tmp_path / "runs" / "rexnet-cifar10")
    return Path("runs/rexnet-cifar10")


def say(*arguments: str) -> str:
    """What a command prints, or what it says that is wrong."""
    done = CliRunner().invoke(app, list(arguments))
    if isinstance(done.exception, UserError):
        return str(done.exception)
    assert done.exit_code == 0, done.output
    return done.output


def a_run(folder: Path) -> Path:
    return min(folder.rglob("run.json")).parent


def test_a_studys_folder_stands_for_the_study(folder: Path) -> None:
    assert say("study", "status", str(folder), "--json") == say(
        "study", "status", "rexnet-cifar10", "--out", str(folder), "--json"
    )
    assert "Does SGD that hands over" in say("study", "report", str(folder))


def test_a_study_stands_for_its_folder(folder: Path) -> None:
    assert "Does SGD that hands over" in say("report", "rexnet-cifar10", "--no-images")
    assert "levelfield study report quickstart --out FOLDER" in say("report", "quickstart")
    assert "no folder nowhere" in say("report", "nowhere")


def test_a_run_is_reported_as_a_table_of_one(folder: Path) -> None:
    assert '"rows"' in say("report", str(a_run(folder)), "--json")


@pytest.mark.parametrize("command", [("eval",), ("export", "--to", "onnx", "--out", "x"), ("shrink", "--int8")])
def test_a_folder_of_runs_where_a_run_belongs_is_answered_with_one(folder: Path, command: tuple[str, ...]) -> None:
    name, *options = command
    said = say(name, str(folder), *options)
    assert said.startswith(f"{folder} is a study's folder") and f"levelfield report {folder}" in said
    assert f"name one of its runs, e.g. {a_run(folder)}\n" in said
    assert "finished runs, not a run" in say(name, ".", *options)


def test_other_kinds_are_told_apart(folder: Path, tmp_path: Path) -> None:
    run = a_run(folder)
    assert f"levelfield report {run}" in say("study", "report", str(run))
    assert "levelfield train --model resnet_nano" in say("study", "run", "resnet_nano")
    assert f"levelfield eval {run}" in say("profile", str(run))
    (tmp_path / "pictures").mkdir()
    assert "folder:pictures" in say("data", "check", "pictures")


def test_a_study_file_that_moved_is_named(folder: Path) -> None:
    path = folder / "study.json"
    path.write_text(path.read_text().replace('"source": "rexnet-cifar10"', '"source": "gone.yaml"'))
    said = say("study", "report", str(folder))
    assert "gone.yaml" in said and f"--out {folder}" in said


@pytest.mark.parametrize("command", [["report"], ["study", "report"], ["study", "report", "--json"]])
def test_results_where_one_may_not_write_are_shown(
    command: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A colleague's folder, a mounted archive: the table is there, no page is written."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK and access(path, mode))
    said = say(*command, str(folder))
    assert "rexnet_tiny" in said and f"{folder} is not yours to write in" in said
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
