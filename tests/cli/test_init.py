"""`levelfield init`: the file that it writes says what was seen, is commented, fits its schema, and runs."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.data.checks.quick_look import QuickLook
from levelfield.known_models import built_in
from levelfield.schemas import schema_text
from levelfield.spec.recipe import load_recipe
from levelfield.spec.recipe_files import read_recipe
from levelfield.spec.yaml_files import read_yaml
from levelfield.studies.declared import first_study as first
from levelfield.studies.declared.planned_runs import planned_rows
from levelfield.studies.declared.study import StudySpec
from levelfield.studies.declared.study_file import read_study_file

PLUGIN = """
from torch import nn
import levelfield
@levelfield.register_model("my_net")
def build(num_classes): return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, num_classes))
"""


def levelfield(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "levelfield", *arguments], cwd=cwd, capture_output=True, text=True, timeout=600,
        stdin=subprocess.DEVNULL, env={**os.environ, "LEVELFIELD_CACHE": str(cwd / "cache")},
    )  # fmt: skip


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Class folders with 12 or 30 pictures a class of 40 to 70 px, one of them no picture."""
    random = np.random.default_rng(0)
    for name, count in (("crow", 30), ("finch's", 12), ("owl", 30)):
        (tmp_path / "my birds" / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 255, (40 + number, 70, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "my birds" / name / f"{number}.png")
    return tmp_path / "my birds"


def test_a_file_for_ones_own_pictures_and_network_is_written_and_runs(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    done = levelfield("init", "--data", "my birds", "--model", "my_net", "--plugin", "mine.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 classes" in done.stderr and "classes are small or unequal" in done.stderr
    commands = done.stdout.splitlines()
    assert commands == [
        "levelfield study run my-birds.yaml --scale smoke --plugin mine.py",
        "levelfield study run my-birds.yaml --plugin mine.py",
    ]
    file = tmp_path / "my-birds.yaml"
    assert file.read_text().startswith("# yaml-language-server: $schema=study.schema.json\n# 58 training")
    values = read_yaml(file)
    schema = tmp_path / "study.schema.json"
    assert schema.read_text() == schema_text("study") and "study.schema.json beside it" in done.stderr
    jsonschema.validate(values, json.loads(schema.read_text()))
    assert values["data"] == {"name": f"folder:{pictures}", "image_size": 32}
    assert values["models"][0] == "my_net" and len(values["models"]) == 3 and values["baseline"] == values["models"][1]
    ran = levelfield(*commands[0].split()[1:], "--yes", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    results = json.loads((tmp_path / "runs" / "my-birds-smoke" / "results.json").read_text())
    assert [result["row"] for result in results] == values["models"]


def test_what_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text("mine\n")
    done = levelfield("init", "--data", "digits", cwd=tmp_path)
    assert done.returncode == 2 and "left as it is" in done.stderr
    assert (tmp_path / "digits.yaml").read_text() == "mine\n"
    schema = tmp_path / "study.schema.json"
    schema.write_text("another kind of study\n")
    done = levelfield("init", "--data", "digits", "--yes", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["data"]["train"] == 1348
    assert read_yaml(tmp_path / "digits.yaml")["recipes"] == "digits-fast"
    assert schema.read_text() == "another kind of study\n"
    schema.write_text(schema_text("study") + " ")  # an older one
    assert levelfield("init", "--data", "digits", "--yes", cwd=tmp_path).returncode == 0
    assert schema.read_text() == schema_text("study")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--data missing"),
        (["--data", "digist"], "did you mean 'digits'"),
        (["--data", "digits", "--model", "resnet_nanp"], "resnet_nano"),
        (["--data", "digits", "--recipe", "cpu-fats"], "cpu-fast"),
        (["study.txt", "--data", "digits"], "end in .yaml"),
        (["a b.yaml", "--data", "digits"], "cannot be a folder's name"),
        (["--data", "."], "is empty"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_written(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = levelfield("init", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and list(tmp_path.glob("*.yaml")) == []


def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text("mine\n")
    main, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "levelfield", "init"], cwd=tmp_path, stdin=terminal, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "LEVELFIELD_DATA": ""},
    )  # fmt: skip
    os.write(main, b"digitz\ndigits\nvit_mini, resnet_nanp\nvit_mini, resnet_nano\ny\n")
    said, asked = child.communicate(timeout=120)
    assert child.returncode == 0, asked
    assert asked.count("Images:") == 2 and asked.count("Your networks") == 2 and "Overwrite" in asked
    assert "digitz" in asked and "resnet_nanp" in asked  # what was wrong with each, and asked again
    assert said.splitlines()[-1] == "levelfield study run digits.yaml"
    assert read_yaml(tmp_path / "digits.yaml")["models"][:2] == ["vit_mini", "resnet_nano"]


def in_process(*arguments: str) -> str:
    """`levelfield init` in this process: what it says beside its answer. Raises UserError."""
    return CliRunner().invoke(app, ["init", *arguments], catch_exceptions=False).stderr


@pytest.mark.parametrize(
    ("folder", "study"),
    [
        ("C:birds", "birds"),
        (r"C:\pictures\birds", "birds"),
        ("new\nline", "new-line"),
        ("it's # not: a", "a"),
    ],
)
def test_a_folder_of_any_name_is_named_as_it_is(
    folder: str, study: str, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures.parent)
    pictures.rename(pictures.parent / folder)
    in_process("--data", folder, "--yes")
    read, _ = read_study_file(f"{study}.yaml")
    assert read["data"]["name"] == f"folder:{pictures.parent / folder}"


@pytest.mark.parametrize("recipe", ["rec dir/yes.yaml", "rec dir/my # recipe: a.yaml"])
@pytest.mark.parametrize("study", ["here.yaml", "sub/deep/there.yaml"])
def test_a_recipe_of_ones_own_is_found_from_the_study(
    recipe: str, study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("rec dir", "sub/deep"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / recipe).write_text(yaml.safe_dump(read_recipe("cpu-fast")))
    in_process(study, "--data", "digits", "--recipe", recipe, "--yes")
    assert not Path(read_yaml(Path(study))["recipes"]).is_absolute()
    (row, *_) = planned_rows(StudySpec.load(study), "full")
    assert row.spec.recipe == load_recipe("cpu-fast").recipe


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--image-size", "100000"], "images of at most 8 px are enlarged to 100,000 px"),
        (["--seeds", "10000"], "30,000 runs"),
        ([], ""),
    ],
)
def test_what_is_hardly_meant_is_said(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    err = in_process("new.yaml", "--data", "digits", *arguments)
    assert said in err and ("note:" in err) is bool(said)


def look(train: int, side: int, classes: int = 10) -> QuickLook:
    return QuickLook("folder:/x", "class folders", classes, train, train // 5, 1, 9, side, side, side, 9, 0, ())


@pytest.mark.parametrize(
    ("side", "gpu", "expected"), [(8, False, 16), (33, False, 32), (300, False, 64), (300, True, 224)]
)
def test_the_side_fits_images_and_machine(side: int, gpu: bool, expected: int) -> None:
    assert first.suggest_side(look(1000, side), gpu) == expected


def test_baselines_are_of_the_networks_size_and_of_other_families() -> None:
    near = first.suggest_baselines({"resnet18_s1": built_in()["resnet18_s1"].params})
    assert len(near) == 2 and all(4e6 < built_in()[name].params < 3e7 for name in near)
    assert len({built_in()[name].info.family for name in (*near, "resnet18_s1")}) == 3
    assert first.suggest_baselines({}) == list(first.FIRST)
    assert all(name in built_in() for name in (*first.BASELINES, *first.FIRST))


@pytest.mark.parametrize("train", [30, 700, 5000, 50_000, 1_000_000])
def test_the_length_lets_few_images_make_steps(train: int) -> None:
    epochs, batch = first.suggest_length(look(train, 64))
    assert epochs * train / (batch or 256) >= 25
    assert (batch or 256) <= train
