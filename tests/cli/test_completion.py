"""The Tab key completes names, at once: without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from levelfield.cli.app import main
sys.argv = ["levelfield"]
try:
    main()
finally:
    print(*(name for name in ("torch", "scipy", "timm") if name in sys.modules), file=sys.stderr)
"""


def completed(words: str, folder: Path) -> list[str]:
    """What bash is offered for the last of `words`."""
    given = {"_LEVELFIELD_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, env={**os.environ, **given}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.stderr.strip() == "", done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_module_shows_the_script_of_the_command(shell: str) -> None:
    command = [sys.executable, "-m", "levelfield", "--show-completion", shell]
    named = {
        **os.environ,
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }  # else the shell above this process is meant
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=named).stdout
    assert "_LEVELFIELD_COMPLETE=" in said and "PYTHON" not in said and "python" not in said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("levelfield train --model resnet_m", ["resnet_mini"]),
        ("levelfield train --model timm:resnet18d", ["timm:resnet18d"]),
        ("levelfield train --data cifar1", ["cifar10", "cifar100"]),
        ("levelfield train --recipe cpu", ["cpu-fast"]),
        ("levelfield train --recipe rexnet-sgd+c", ["rexnet-sgd+cutmix"]),
        ("levelfield train --recipe mi", ["mine.yaml"]),
        ("levelfield study run quick", ["quickstart"]),
        ("levelfield study report runs/re", ["runs/rexnet-cifar10"]),
        ("levelfield models outgrid_nano_no_g", ["outgrid_nano_no_grid"]),
        ("levelfield profile vit_m", ["vit_mini"]),
        ("levelfield gate resnet_nano digits-f", ["digits-fast"]),
        ("levelfield init --data dig", ["digits"]),
        ("levelfield sch", ["schema"]),
    ],
)
def test_names_are_completed(words: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").touch()
    shutil.copytree(Path(__file__).parents[2] / "results" / "cpu" / "rexnet-cifar10", tmp_path / "runs/rexnet-cifar10")
    assert completed(words, tmp_path) == expected
