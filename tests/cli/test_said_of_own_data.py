"""What levelfield did to somebody's data (a test set cut, images left out) stands beside every result on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.data.sources.done_to_data import CUT_TEST, done_to_data, left_out
from levelfield.errors import UserError

BAD = 2
SAID = (CUT_TEST, left_out(BAD))


def call(*arguments: object) -> Any:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in arguments else " ".join(result.stdout.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[object]]:
    """A finished run of flat class folders of which two files are no images, and the command that made it."""
    root = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    for number in range(30):
        path = root / "birds" / ("robin", "wren")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    for number in range(BAD):
        (root / "birds" / "wren" / f"bad{number}.png").write_bytes(b"no image")
    command: list[object] = ["train", "--model", "resnet_nano", "--data", f"folder:{root / 'birds'}"]
    command += ["--image-size", 16, "--set", "data.on_bad_image=skip", "--set", "budget.steps=1"]
    command += ["--set", "recipe.batch_size=8", "--device", "cpu", "--yes", "--out", root / "runs" / "birds"]
    call(*command)
    return root / "runs", command


@pytest.mark.parametrize("kind", ["train", "eval", "report"])
def test_every_answer_says_it(run: tuple[Path, list[object]], kind: str) -> None:
    runs, command = run
    line = {"train": command, "eval": ["eval", runs / "birds"], "report": ["report", runs]}[kind]
    printed = call(*line)
    for note in SAID:
        assert note in printed
    if kind != "report":
        assert done_to_data(call(*line, "--json")["data_notes"]) == list(SAID)
        assert "recipe cpu-fast" in printed or kind == "eval"
    else:
        assert all(any(note in line for line in call(*line, "--json")["basis"]) for note in SAID)


def test_what_is_known_of_the_data_elsewhere_is_not_done_here() -> None:
    assert done_to_data(["other data: given as arrays", left_out(1), "10 images are in both"]) == [left_out(1)]


def test_without_validation_images_it_says_how_to_get_some(run: tuple[Path, list[object]]) -> None:
    runs, _ = run
    for options in (["--calibrate"], ["--split", "validation"]):
        error = CliRunner().invoke(app, ["eval", str(runs / "birds"), *options]).exception
        assert isinstance(error, UserError)
        assert "--set recipe.validation=0.1" in str(error) and "--split test" not in str(error)
