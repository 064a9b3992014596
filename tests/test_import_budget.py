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
WATCHED = """
import sys
from torch import nn
import levelfield
class Watched(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(192, classes))
        self.seen = False
    def forward(self, x):
        if self.training and not self.seen:
            self.seen = True
            print("first step", *(name for name in FORBIDDEN if name in sys.modules))
        return self.net(x)
@levelfield.register_model("watched")
def build(num_classes): return Watched(num_classes)
"""
SLOW = ("timm", "torchvision", "torch._dynamo", "pandas", "altair", "sympy", "scipy.stats")
TORCH = ("torch", "scipy", *SLOW)
READING = ("torch", *SLOW)
BESIDE_TIMM = tuple(name for name in SLOW if name not in ("timm", "torchvision"))
"""What a network that timm builds does without: timm itself imports torchvision, and both would load the compiler."""
TRAIN = "train --model resnet_nano --data digits"


@pytest.mark.parametrize(
    ("command", "code", "forbidden"),
    [
        ("--help", 0, (*TORCH, "numpy", "yaml", "pydantic")),
        ("train --model resnet_nanp --data digits", 2, TORCH),
        ("train --model timm:resnet19 --data digits", 2, TORCH),
        ("train --model resnet_nano --data digist", 2, TORCH),
        ("train --model resnet_nano --data digist --plugin mine.py", 2, TORCH),
        (f"{TRAIN} --plugin absent.py", 2, TORCH),
        ("study run quickstart --plugin absent.py", 2, TORCH),
        (f"{TRAIN} --recipe cpu-fats", 2, TORCH),
        (f"{TRAIN} --set recipe.optimizer.lr=-1", 2, TORCH),
        (f"{TRAIN} --set recipe.optimiser.lr=1", 2, TORCH),
        ("train --config broken.yaml", 2, TORCH),
        ("eval nowhere", 2, TORCH),
        ("gate resnet_nano resnet_nanp --data digits", 2, TORCH),
        ("profile resnet_nanp", 2, TORCH),
        ("profile resnet_nano --dtype fp23", 2, TORCH),
        ("profile resnet_nano --device gpu", 2, TORCH),
        ("profile resnet_nano --device cpu --dtype fp16", 2, TORCH),
        ("eval nowhere --device gpu", 2, TORCH),
        (f"{TRAIN} --device gpu", 2, TORCH),
        (f"{TRAIN} --out broken.yaml", 2, TORCH),
        (f"{TRAIN} --out broken.yaml/run", 2, TORCH),
        ("eval study/adam/seed0-e9e4de1e --split tset", 2, TORCH),
        ("init mine.txt --data digits", 2, (*TORCH, "sklearn")),
        ("init mine.yaml --data digits --model resnet_nanp", 2, (*TORCH, "sklearn")),
        ("init mine.yaml --data digits --recipe cpu-fats", 2, (*TORCH, "sklearn")),
        ("init broken.yaml --data digits", 2, (*TORCH, "sklearn")),
        ("data import digits --from study", 2, TORCH),
        ("data import mine --from absent", 2, TORCH),
        ("data import mine --from study --fit stretch", 2, TORCH),
        ("study merge study --into joined --as mine", 2, TORCH),
        ("models outgrid*", 0, (*TORCH, "numpy")),
        ("models", 0, (*TORCH, "numpy")),
        ("models resnet_nanp", 2, (*TORCH, "numpy")),
        ("models timm:nothing*", 2, (*TORCH, "numpy")),
        ("data list", 0, TORCH),
        ("data check nope", 2, TORCH),
        ("data show nope", 2, TORCH),
        ("data get nope", 2, TORCH),
        ("analyze rank --model nope", 2, TORCH),
        ("analyze overlays study --images 3,x", 2, TORCH),
        ("study list", 0, TORCH),
        ("study status rexnet-cifar10 --out study", 0, READING),
        ("study report rexnet-cifar10 --out study", 0, READING),
        ("report study", 0, READING),
        ("models mine --plugin mine.py", 0, ("timm", "torchvision", "altair", "scipy.stats")),
        (f"{TRAIN} --show-config", 0, SLOW),
        (f"{TRAIN} --set budget.steps=1", 0, SLOW),
        (f"{TRAIN} --set budget.steps=1 --set model.name=resnet18_s1", 0, BESIDE_TIMM),
        ("profile resnet_nano --seconds 0 --batch 2", 0, SLOW),
        ("profile resnet_nano --seconds 0 --batch 2 --train", 0, SLOW),
        ("profile resnet18_s1 --seconds 0 --batch 2", 0, BESIDE_TIMM),
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


@pytest.mark.parametrize("optimiser", ["muon", "sgd", "adamw"])
def test_training_begins_without_what_it_does_not_need(optimiser: str, tmp_path: Path) -> None:
    """Whatever is loaded later, when the run is written down, nobody waits for it before the first step."""
    (tmp_path / "watched.py").write_text(WATCHED.replace("FORBIDDEN", repr(SLOW)))
    command = "train --model watched --plugin watched.py --data digits --set budget.steps=2"
    arguments = [*command.split(), "--set", f"recipe.optimizer={{name: {optimiser}, lr: 0.001}}"]
    done = subprocess.run(
        [sys.executable, "-m", "levelfield", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "first step"


def test_the_compilers_mark_is_the_one_that_torch_leaves() -> None:
    from levelfield.native import _built

    def marked() -> bool:
        return True

    torch._dynamo.assume_constant_result(marked)  # type: ignore[no-untyped-call]
    assert vars(_built) == vars(marked)
