"""The wheels of dist/, built by `make wheel`: what they hold, and that they work where there is no source and no make.

They run with REQUIRE_WHEEL=1 (`make installed`): an environment with torch is set up for them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path
from platform import machine

import pytest

from levelfield.native.libraries import variants, wanted
from levelfield.native.variants import library_name

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
PACKAGED = "levelfield/native/packaged/"
TINY = "--seeds 2 --set budget.epochs=1 --set data.train_limit=128 --yes"
GRADIENTS = """
import sys, torch
import levelfield as lf
from levelfield import native
from levelfield.native import libraries
loops = libraries.library()
print(loops and loops._name)
torch.manual_seed(0)
x, y = torch.randn(4, 3, 32, 32), torch.randint(0, 10, (4,))
def gradients(dtype):
    torch.manual_seed(1)
    model = lf.create_model("outgrid_nano", num_classes=10, image_size=32).train().to(dtype)
    torch.nn.functional.cross_entropy(model(x.to(dtype)), y).backward()
    return torch.cat([p.grad.flatten().double() for p in model.parameters()])
got, expected = gradients(torch.float32), gradients(torch.float64)
print(float((got - expected).norm() / expected.norm()))
"""

pytestmark = [
    pytest.mark.skipif(not os.environ.get("REQUIRE_WHEEL"), reason="REQUIRE_WHEEL=1 runs it, or make installed"),
    pytest.mark.xdist_group("wheel"),
]


def wheels() -> list[Path]:
    found = sorted(DIST.glob("*.whl"))
    assert found, "no wheel in dist/: run make wheel"
    return found


def pure() -> Path:
    return next(path for path in wheels() if path.name.endswith("-py3-none-any.whl"))


def platform() -> Path:
    found = [path for path in wheels() if not path.name.endswith("-py3-none-any.whl")]
    if not found:
        assert shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None
        pytest.skip("no compiler, so no platform wheel")
    return found[0]


def uv(*arguments: str | Path) -> None:
    program = Path(sys.executable).with_name("uv")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, encoding="utf-8", timeout=900)
    assert done.returncode == 0, done.stderr


class Environment:
    """A virtual environment of its own with nothing of ours on its paths, and a folder to work in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.env = folder / "work", folder / "env"
        self.folder.mkdir()
        uv("venv", "--quiet", "--python", sys.executable, self.env)
        self.bin = self.env / ("Scripts" if sys.platform == "win32" else "bin")

    def install(self, *arguments: str | Path) -> None:
        backend = os.environ.get("TORCH_BACKEND")
        chosen = ["--torch-backend", backend] if backend else []
        uv("pip", "install", "--quiet", "--python", self.bin / "python", *chosen, *arguments)

    def run(self, *command: str, compiler: bool = False, **more: str) -> subprocess.CompletedProcess[str]:
        """Without PYTHONPATH and, unless asked for, without a compiler on the path or in CXX."""
        kept = {key: os.environ[key] for key in ("HOME", "TMPDIR", "SYSTEMROOT", "LANG") if key in os.environ}
        path = os.pathsep.join([str(self.bin), *([os.environ["PATH"]] if compiler else [])])
        own = {"PATH": path, "LEVELFIELD_CACHE": str(self.folder / "cache"), "OMP_NUM_THREADS": "1"}
        environment = {**kept, **own, **more}
        program = self.bin / command[0]
        return subprocess.run(
            [program, *command[1:]],
            cwd=self.folder, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=600,
        )  # fmt: skip

    def levelfield(self, command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.run("levelfield", *command.split(), **more)

    def gradients(self, compiler: bool = False, **more: str) -> tuple[str, float]:
        """The library that computed OutGrid-nano's gradients, and how far they are from those of float64."""
        done = self.run("python", "-c", GRADIENTS, compiler=compiler, **more)
        assert done.returncode == 0, done.stderr
        library, difference = done.stdout.splitlines()
        return library, float(difference)


@pytest.fixture(scope="module")
def trains(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with torch, of the versions that are pinned, and the platform wheel (else the pure one)."""
    environment = Environment(tmp_path_factory.mktemp("trains"))
    found = [path for path in wheels() if path != pure()]
    environment.install((found or [pure()])[0], "--constraints", ROOT / "requirements.txt")
    return environment


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment as the documentation says how to get one that reports without torch."""
    environment = Environment(tmp_path_factory.mktemp("light"))
    environment.install("--no-deps", pure())
    environment.install("-r", ROOT / "requirements-report.txt")
    shutil.copytree(ROOT / "results" / "cpu" / "rexnet-cifar10", environment.folder / "study")
    return environment


@pytest.mark.parametrize("kind", [pure, platform])
def test_a_wheel_holds_all_that_the_package_has_and_nothing_else(kind: Callable[[], Path]) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "src/levelfield"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
    )
    expected = {line.removeprefix("src/") for line in tracked.stdout.splitlines()}
    with zipfile.ZipFile(kind()) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        facts = Parser().parsestr(archive.read(metadata).decode("utf-8"))
        licence = archive.read(metadata.replace("METADATA", "licenses/LICENSE")).decode("utf-8")
        entry = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode("utf-8")
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    ours = {name for name in names if not name.startswith(metadata.partition("/")[0])}
    here = {PACKAGED + library_name(each) for each in variants(machine())} if kind is platform else set()
    assert ours == expected | here
    for ending in (".yaml", ".json", ".js", ".css", ".cpp"):
        assert any(name.endswith(ending) for name in ours), ending
    assert all(sizes[name] > 50_000 for name in here)
    assert facts["License-Expression"] == "Apache-2.0" and licence == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert facts["Requires-Python"] == ">=3.11" and "levelfield = levelfield.__main__:main" in entry


def test_the_source_archive_builds_the_same_wheel(tmp_path: Path) -> None:
    archive = next(DIST.glob("*.tar.gz"))
    uv("build", "--quiet", "--wheel", "--out-dir", tmp_path, archive)
    built = next(tmp_path.glob("*.whl"))
    assert built.name == pure().name
    with zipfile.ZipFile(built) as ours, zipfile.ZipFile(pure()) as theirs:
        assert {info.filename: info.CRC for info in ours.infolist()} == {i.filename: i.CRC for i in theirs.infolist()}


def test_a_study_runs_from_an_installed_wheel(trains: Environment) -> None:
    """No source, no make, no compiler: three commands of a newcomer."""
    done = trains.run("python", "-c", "import levelfield; print(levelfield.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(trains.env)
    done = trains.levelfield(f"study run quickstart --out quick {TINY}")
    assert done.returncode == 0, done.stderr
    assert "outgrid_nano" in done.stdout and "building" not in done.stderr
    page = (trains.folder / "quick" / "report.html").read_text(encoding="utf-8")
    assert "outgrid_nano" in page and "resnet_nano" in page
    runs = sorted(trains.folder.glob("quick/**/environment.json"))
    found = {json.loads(path.read_text(encoding="utf-8"))["cpp_loops"] for path in runs}
    assert len(runs) == 8 and found == {wanted()[0].name}
    table = trains.levelfield("report quick --format csv")
    assert table.returncode == 0 and table.stdout.count("\n") >= 5


def test_every_packaged_variant_that_this_processor_runs_computes_the_same(trains: Environment) -> None:
    platform()
    for variant in wanted():
        library, difference = trains.gradients(LEVELFIELD_NATIVE=variant.name)
        assert Path(library).name == library_name(variant) and Path(library).is_relative_to(trains.env)
        assert difference < 2e-5, variant.name
    assert trains.gradients(LEVELFIELD_NATIVE="0")[0] == "None"


def test_the_pure_wheel_runs_without_a_compiler_and_builds_with_one(trains: Environment) -> None:
    trains.install("--no-deps", "--reinstall-package", "levelfield", pure())
    one = "train --model outgrid_nano --data digits --recipe digits-fast --set budget.steps=2 --out"
    done = trains.levelfield(f"{one} without")
    assert done.returncode == 0 and "building" not in done.stderr, done.stderr
    environment = trains.folder / "without" / "environment.json"
    assert json.loads(environment.read_text(encoding="utf-8"))["cpp_loops"] == "none"
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("no compiler")
    done = trains.run("levelfield", *one.split(), "with", compiler=True)
    name = wanted()[0].name
    assert done.returncode == 0 and f"building the C++ loops for this processor ({name}), once" in done.stderr
    environment = trains.folder / "with" / "environment.json"
    assert json.loads(environment.read_text(encoding="utf-8"))["cpp_loops"] == name
    library, difference = trains.gradients()
    assert Path(library).is_relative_to(trains.folder / "cache") and difference < 2e-5


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("report study", "page: "),
        ("study report rexnet-cifar10 --out study", "adam-randaug"),
        ("study status rexnet-cifar10 --out study", "all rows"),
        ("study list", "quickstart"),
        ("models outgrid*", "583,200"),
        ("data list", "cifar10"),
    ],
)
def test_results_are_read_where_torch_is_not_installed(light: Environment, command: str, said: str) -> None:
    assert light.run("python", "-c", "import torch").returncode == 1
    done = light.levelfield(command)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr


def test_training_where_torch_is_not_installed_says_what_to_install(light: Environment) -> None:
    done = light.levelfield("train --model resnet_nano --data digits")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "to train, evaluate and profile: pip install levelfield"
