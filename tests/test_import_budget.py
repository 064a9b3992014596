"""What a command does not need is not imported: for each, the modules that must not be loaded when it has ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch._dynamo  # its functions are compared with what we do without them

RUN = """
import sys
from levelfield.cli.app import main
code = 0
try:
    main()
except SystemExit as stop:
    code = stop.code or 0
print(code, *(name for name in FORBIDDEN if name in sys.modules), file=sys.stderr)
"""
PLUGIN = """
from torch import nn
import levelfield
@levelfield.register_model("mine")
def build(num_classes): return nn.Sequential(nn.Flatten(), nn.Linear(3072, num_classes))
"""
SLOW = ("timm", "torchvision", "torch._dynamo", "pandas", "altair", "sympy", "scipy.stats")
TORCH = ("torch", "scipy", *SLOW)
READING = tuple(name for name in ("torch", *SLOW) if name != "scipy.stats")
OF_TORCH = ("torch._dynamo", "sympy", "pandas")
"""What torch itself loads where an optimiser is made: its methods are marked for the compiler when first called."""
TRAIN = "train --model resnet_nano --data digits"


@pytest.mark.parametrize(
    ("command", "code", "forbidden"),
    [
        ("--help", 0, (*TORCH, "numpy", "yaml", "pydantic")),
        ("train --model resnet_nanp --data digits", 2, TORCH),
        ("train --model timm:resnet19 --data digits", 2, TORCH),
        ("train --model resnet_nano --data digist", 2, TORCH),
        ("train --model resnet_nano --data digist --plugin mine.py", 2, TORCH),
        (f"{TRAIN} --recipe cpu-fats", 2, TORCH),
        (f"{TRAIN} --set recipe.optimizer.lr=-1", 2, TORCH),
        (f"{TRAIN} --set recipe.optimiser.lr=1", 2, TORCH),
        ("train --config broken.yaml", 2, TORCH),
        ("eval nowhere", 2, TORCH),
        ("gate resnet_nano resnet_nanp --data digits", 2, TORCH),
        ("profile resnet_nanp", 2, TORCH),
        ("models outgrid*", 0, (*TORCH, "numpy")),
        ("models", 0, (*TORCH, "numpy")),
        ("models resnet_nanp", 2, (*TORCH, "numpy")),
        ("models timm:nothing*", 2, (*TORCH, "numpy")),
        ("data list", 0, TORCH),
        ("study list", 0, TORCH),
        ("study status rexnet-cifar10 --out study", 0, READING),
        ("study report rexnet-cifar10 --out study", 0, READING),
        ("report study", 0, READING),
        ("models mine --plugin mine.py", 0, ("timm", "torchvision", "altair", "scipy.stats")),
        (f"{TRAIN} --show-config", 0, SLOW),
        (f"{TRAIN} --set budget.steps=1", 0, tuple(name for name in SLOW if name not in OF_TORCH)),
    ],
)
def test_a_command_loads_nothing_that_it_does_not_need(
    command: str, code: int, forbidden: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "broken.yaml").write_text("model: {name: resnet_nano\ndata: digits\n", encoding="utf-8")
    shutil.copytree(Path(__file__).parents[1] / "results" / "cpu" / "rexnet-cifar10", tmp_path / "study")
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")
    program = RUN.replace("FORBIDDEN", repr(forbidden))
    bare = {key: value for key, value in os.environ.items() if key != "LEVELFIELD_DATA"}
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split()],
        cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == str(code), done.stderr


def test_the_compilers_mark_is_the_one_that_torch_leaves() -> None:
    from levelfield.models.kernels.native import _built

    def marked() -> bool:
        return True

    torch._dynamo.assume_constant_result(marked)  # type: ignore[no-untyped-call]
    assert vars(_built) == vars(marked)
