"""`levelfield init` of pictures that are not all as they should be, and of places that cannot be written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.spec.yaml_files import read_yaml


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a blank in its name, two classes of ten pictures, one of which is none."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my birds"
    random = np.random.default_rng(0)
    for name in ("crow", "owl"):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            Image.fromarray(random.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / name / f"{number}.png")
    return folder


def test_a_file_for_pictures_that_do_not_open_leaves_them_out(pictures: Path) -> None:
    for name in ("crow", "owl"):
        for number in range(3):
            (pictures / name / f"{number}.png").write_bytes(b"no picture")
    done = CliRunner().invoke(app, ["init", "new.yaml", "--data", "my birds", "--yes"])
    assert done.exit_code == 0, done.exception
    said = " ".join(done.output.split())
    assert "images looked at cannot be opened, which the counts include" in said and "on_bad_image: skip" in said
    assert f"levelfield data check 'folder:{pictures}'" in said
    assert read_yaml(Path("new.yaml"))["data"]["on_bad_image"] == "skip"
    plan = CliRunner().invoke(app, ["study", "plan", "new.yaml", "--scale", "smoke"])
    assert plan.exit_code == 0 and "cannot be run" not in plan.output, plan.output


def test_a_file_for_good_pictures_names_them_and_stops_at_bad_ones(pictures: Path) -> None:
    done = CliRunner().invoke(app, ["init", "new.yaml", "--data", "my birds", "--yes"])
    assert done.exit_code == 0, done.exception
    values = read_yaml(Path("new.yaml"))
    assert "on_bad_image" not in values["data"] and values["title"] == "Networks on my birds"
    assert values["question"] == "Which network is best on my birds, trained alike?"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("init absent/new.yaml --data digits", "there is no folder absent: make it, or write elsewhere"),
        ("init file/new.yaml --data digits", "there is no folder file"),
        ("study run quickstart --yes --out file", "file lies at or below a file, which holds no study"),
        ("study plan quickstart --no-probe --out file", "choose another folder with --out"),
        ("study status quickstart --out file", "choose another folder with --out"),
    ],
)
def test_a_place_that_cannot_be_written_is_said_to_be_none(
    command: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    done = CliRunner().invoke(app, command.split())
    assert isinstance(done.exception, UserError), (done.output, done.exception)
    assert message in str(done.exception)
