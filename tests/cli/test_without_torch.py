"""A light installation reads and reports results; what needs more says in one line what to install.

The packages are hidden from a process's imports here; `tests/packaging/` installs a wheel without them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from levelfield.cli.missing_packages import PACKAGES, what_to_install
from levelfield.errors import unknown
from levelfield.study import Study
from synthetic_runs import write_run

ROOT = Path(__file__).parents[2]
RUN = """
import importlib.metadata, sys
HIDDEN = {HIDDEN}
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Hide())
from levelfield.__main__ import main
main()
"""


def requirements(path: Path) -> dict[str, str]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return {re.split("[>=]", line)[0]: line for line in lines if line and not line.startswith("#")}


LIGHT = requirements(ROOT / "requirements-report.txt")
DECLARED = {
    re.split("[>=]", line)[0]: line
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
}


def without(folder: Path, command: str, *packages: str) -> subprocess.CompletedProcess[str]:
    program = RUN.replace("{HIDDEN}", repr(set(packages)))
    bare = {key: value for key, value in os.environ.items() if key != "LEVELFIELD_DATA"}
    bare["LEVELFIELD_CACHE"] = str(folder / "cache")
    return subprocess.run(
        [sys.executable, "-c", program, *command.split()],
        cwd=folder, env=bare, capture_output=True, text=True, encoding="utf-8", timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("light")
    shutil.copytree(ROOT / "results" / "cpu" / "rexnet-cifar10", folder / "study")
    return folder


def test_the_light_requirements_are_those_of_the_project_and_leave_torch_out() -> None:
    assert LIGHT.items() <= DECLARED.items()
    assert DECLARED.keys() - LIGHT.keys() >= {
        "torch",
        "torchvision",
        "timm",
        "safetensors",
        "scikit-learn",
        "tensorboard",
    }
    assert set(PACKAGES.values()) == DECLARED.keys()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("report study", "page: study"),
        ("report study --json", '"rows"'),
        ("study report rexnet-cifar10 --out study", "adam-randaug"),
        ("study status rexnet-cifar10 --out study", "all rows"),
        ("study list", "quickstart"),
        ("models outgrid*", "583,200"),
        ("data list", "cifar10"),
        ("--help", "classifier"),
    ],
)
def test_results_are_read_with_the_light_requirements_alone(folder: Path, command: str, said: str) -> None:
    hidden = [module for module, package in PACKAGES.items() if package not in LIGHT]
    done = without(folder, command, *hidden, "pandas", "sympy", "matplotlib")
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr


def test_what_data_holds_now_is_not_asked_where_torch_is_missing(tmp_path: Path) -> None:
    """A reviewer's machine has the results and has never decoded the data, here digits, which are always at hand."""
    keys = "data: {name: digits, image_size: 16}\nmodels: [resnet_nano]\nseeds: 1\nset: {recipe.precision: fp32}\n"
    (tmp_path / "mine.yaml").write_text(keys)
    (row,) = Study.load(tmp_path / "mine.yaml").planned_rows()
    found = {"data.checksum": "ab" * 32, "data.validation": 0.0, "model.num_classes": 10, "model.image_size": 16}
    spec = row.spec.changed({"seed": 0, **found})
    write_run(tmp_path / "runs" / "mine" / row.home / f"seed0-{spec.identity()[:8]}", spec, images=200)
    for command, said in (("status", "1/1"), ("report", "resnet_nano"), ("plan --no-probe", "1 finished")):
        done = without(tmp_path, f"study {command} mine.yaml", "torch")
        assert done.returncode == 0, done.stderr
        assert said in done.stdout


def test_a_plan_without_torch_is_one_without_times(folder: Path) -> None:
    done = without(folder, "study plan quickstart --out new", "torch")
    assert done.returncode == 0, done.stderr
    assert "needs torch, which is not installed here" in done.stderr
    assert done.stdout.splitlines()[-1].startswith("12 runs: 12 ")


def test_where_nothing_is_known_nothing_is_offered() -> None:
    assert str(unknown("variant", "nope", [], "give none")) == "unknown variant 'nope'\ngive none"


@pytest.mark.parametrize(
    "command", ["models timm:resnet18", "models timm:*", "train --model timm:resnet18 --data digits"]
)
def test_names_of_timms_say_that_timm_is_missing(folder: Path, command: str) -> None:
    done = without(folder, command, "timm")
    assert done.returncode == 2 and "error: timm is not installed here" in done.stderr, done.stderr
    assert "pip install timm" in done.stderr and "known:" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "train --model resnet_nano --data digits",
        "study run quickstart --yes",
        "profile resnet_nano",
        "gate resnet_nano vit_mini --data digits --yes",
    ],
)
def test_what_needs_torch_says_what_to_install(folder: Path, command: str) -> None:
    done = without(folder, command, "torch")
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert said == ["error: this needs torch, which is not installed here: this installation reads and reports results"]
    assert done.stderr.splitlines()[-1] == "to train, evaluate and profile: pip install levelfield"


def test_a_source_tree_that_was_never_installed_says_what_to_do() -> None:
    said = what_to_install(PackageNotFoundError("levelfield"))
    assert said is not None and "not installed" in str(said) and "pip install -e ." in str(said)


def test_other_missing_packages_are_named_and_modules_of_others_stay_errors() -> None:
    named = what_to_install(ModuleNotFoundError("No module named 'sklearn.datasets'", name="sklearn.datasets"))
    assert str(named) == "this needs scikit-learn, which is not installed here\npip install scikit-learn"
    asked = what_to_install(PackageNotFoundError("vl-convert-python"))
    assert str(asked) == "this needs vl-convert-python, which is not installed here\npip install vl-convert-python"
    assert what_to_install(ModuleNotFoundError("No module named 'levelfield.x'", name="levelfield.x")) is None
    assert what_to_install(ModuleNotFoundError("No module named 'mine'", name="mine")) is None
    assert what_to_install(ValueError("torch")) is None
