"""Bad input, as a user gives it: one to three clear lines, exit code 2, no traceback, nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from levelfield.runs import FolderLock

TRAIN = ["train", "--model", "resnet_nano", "--data", "digits", "--image-size", "16"]


def levelfield(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key != "LEVELFIELD_DATA"}
    return subprocess.run(
        [sys.executable, "-m", "levelfield", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=600,
        stdin=subprocess.DEVNULL,
        env={**clean, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment},
    )


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


CASES = {
    "unknown model": (["train", "--model", "outgrid_7n", "--data", "digits"], "outgrid_7m"),
    "misspelt key": ([*TRAIN, "--set", "recipe.optimiser.lr=1"], "did you mean 'optimizer'"),
    "negative learning rate": ([*TRAIN, "--set", "recipe.optimizer.lr=-1"], "greater than 0"),
    "no number": ([*TRAIN, "--set", "recipe.optimizer.lr=nan"], "NaN is no number"),
    "a text for keys": ([*TRAIN, "--set", "recipe.augment.policy=foo"], "should hold keys and values"),
    "no such folder": (
        ["train", "--model", "resnet_nano", "--data", "folder:/nonexistent"],
        "folder:PATH names the folder",
    ),
    "no such study file": (["study", "run", "nostudy.yaml"], "levelfield study list"),
    "padding beyond the image": (
        ["train", "--model", "resnet_nano", "--data", "digits", "--image-size", "1"],
        "crop.fill=zero",
    ),
    "zero epochs": ([*TRAIN, "--set", "budget.epochs=0"], "greater than 0"),
    "unknown study": (["study", "run", "quickstrat"], "quickstart"),
    "models without match": (["models", "resnext_9*"], "resnext_9*"),
    "unknown data": (["train", "--model", "resnet_nano", "--data", "digitz"], "did you mean 'digits'"),
    "missing data folder": (["train", "--model", "resnet_nano", "--data", "cifar10"], "levelfield data get cifar10"),
    "unknown recipe": ([*TRAIN, "--recipe", "cpu-fats"], "did you mean 'cpu-fast'"),
    "no such config": (["train", "--config", "nowhere.yaml"], "nowhere.yaml"),
    "a recipe without a name": ([*TRAIN, "--recipe", ""], "unknown recipe ''"),
    "data without a name": (["train", "--model", "resnet_nano", "--data", ""], "unknown data set ''"),
    "no run": (["eval", "."], "not a run folder"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_to_three_lines_and_exit_code_two(case: str, tmp_path: Path) -> None:
    arguments, remedy = CASES[case]
    done = levelfield(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert 1 <= len(done.stderr.strip().splitlines()) <= 4
    assert done.stdout == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("broken.yaml", "model: {name: [", "does not parse as YAML"),
        ("twice.yaml", "data: digits\nrecipes: cpu-fast\nmodels: [resnet_nano, resnet_nano]\n", "resnet_nano"),
        ("pattern.yaml", "data: digits\nrecipes: cpu-fast\nmodels: ['nothing_*']\n", "nothing_*"),
    ],
)
def test_files_that_cannot_be_used(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, text)
    command = ["train", "--config", path] if name == "broken.yaml" else ["study", "run", path]
    done = levelfield(*command, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mine"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        (folder / f"{split}.parquet").write_bytes(b"PAR1" + bytes(100))
    done = levelfield(
        "train", "--model", "resnet_nano", "--data", "mine", "--data-dir", str(tmp_path / "data"), cwd=tmp_path,
        LEVELFIELD_CACHE=str(tmp_path / "cache"),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert ".parquet" in done.stderr and "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_or_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = levelfield(*TRAIN, "--out", str(tmp_path / "file" / "run"), cwd=tmp_path)
    assert done.returncode == 2 and "cannot be written" in done.stderr
    with FolderLock(tmp_path / "busy"):
        done = levelfield(*TRAIN, "--out", str(tmp_path / "busy"), cwd=tmp_path)
    assert done.returncode == 2 and f"process {os.getpid()}" in done.stderr


def test_show_config_is_valid_input(tmp_path: Path) -> None:
    shown = levelfield(*TRAIN, "--seed", "3", "--set", "budget.steps=2", "--show-config", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    config = write(tmp_path / "run.yaml", shown.stdout)
    again = levelfield("train", "--config", config, "--show-config", cwd=tmp_path)
    assert again.stdout == shown.stdout
    done = levelfield("train", "--config", config, "--out", "out", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    import json

    assert json.loads(done.stdout)["seed"] == 3
    assert (tmp_path / "out" / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    block = json.loads(levelfield("eval", "out", "--json", cwd=tmp_path).stdout)
    assert block["top1"] == json.loads(done.stdout)["top1"]
    assert {line["name"] for line in block["report"]} >= {"0", "accuracy", "macro avg", "weighted avg"}


def test_a_users_own_model_comes_from_a_plugin_and_counts_by_its_source(tmp_path: Path) -> None:
    source = (
        "import torch, levelfield\n"
        "@levelfield.register_model('mine')\n"
        "class Mine(torch.nn.Sequential):\n"
        "    def __init__(self, num_classes=10):\n"
        "        super().__init__(torch.nn.Flatten(), torch.nn.Linear(3 * 256, num_classes))\n"
    )
    plugin = write(tmp_path / "mine.py", source)
    command = ["train", "--model", "mine", "--data", "digits", "--image-size", "16", "--plugin", plugin]
    command += ["--set", "budget.steps=3", "--json"]
    import json

    first = levelfield(*command, "--out", "a", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert levelfield("eval", "a", "--json", cwd=tmp_path).returncode == 0
    write(tmp_path / "mine.py", source + "# edited\n")
    second = levelfield(*command, "--out", "b", cwd=tmp_path)
    assert json.loads(first.stdout)["identity"] != json.loads(second.stdout)["identity"]
    assert levelfield("eval", "a", cwd=tmp_path).returncode == 2
