"""Of several processes under torchrun one speaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.runs import RunFolder
from levelfield.training import run as run_module
from levelfield.training.processes import SaidElsewhereError

TRAIN = ["train", "--model", "resnet_nano", "--data", "digits", "--image-size", "16", "--device", "cpu"]


def as_rank(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", "2")


@pytest.mark.parametrize("option", ["--show-config", "--show-schedule"])
def test_rank_0_shows_and_the_others_are_silent(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank, silent in ((0, False), (1, True)):
        as_rank(rank, monkeypatch)
        result = CliRunner().invoke(app, [*TRAIN, option])
        assert result.exit_code == 0 and (result.output == "") is silent


@pytest.mark.parametrize("json", [True, False])
def test_rank_0_prints_the_result_and_draws_and_the_others_do_neither(
    json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = {
        "model": "m",
        "data": "d",
        "recipe": "r",
        "epochs_done": 1.0,
        "seed": 0,
        "top1": 1.0,
        "loss": 1.0,
        "params": 1,
        "macs": 1,
    }
    result |= {"train_seconds": 1.0, "compile_seconds": 0.0, "train_images_per_s": 1.0}
    drawn: list[Path] = []
    monkeypatch.setattr(
        run_module, "train_prepared", lambda _, out, progress: run_module.RunResult(result, [], RunFolder(out))
    )
    monkeypatch.setattr(
        "levelfield.page.run_learning_curve.write_learning_curve", lambda folder: drawn.append(folder.path)
    )
    for rank, silent in ((0, False), (1, True)):
        as_rank(rank, monkeypatch)
        found = CliRunner().invoke(app, [*TRAIN, "--out", str(tmp_path), *(["--json"] if json else [])])
        assert found.exit_code == 0 and (found.output == "") is silent
    assert drawn == [tmp_path]


def test_an_error_that_rank_0_says_is_not_said_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise SaidElsewhereError("said by rank 0")

    monkeypatch.setattr(run_module, "train_prepared", refused)
    as_rank(1, monkeypatch)
    found = CliRunner().invoke(app, [*TRAIN, "--out", str(tmp_path)])
    assert (found.exit_code, found.output) == (2, "")
