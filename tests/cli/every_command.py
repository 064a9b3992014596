"""Every command of the program with arguments that it can be run by in seconds, in a folder made by `prepare`.

A command without a line here fails `test_every_command_has_a_line`: so a new one joins the tests of terminals and JSON.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, TypeVar

from typer.main import get_command

from levelfield.cli.app import app

T = TypeVar("T")
STUDY = "rexnet-cifar10"
RUN = "train --model resnet_nano --data digits --set budget.steps=2 --seed 1"
LINES: dict[str, list[str]] = {
    "init": ["init new.yaml --data digits --yes"],
    "models": ["models", "models timm:vit_base_patch16_clip_224", "models timm:resnet34 --image-size 32 --explain"],
    "data list": ["data list"],
    "data get": ["data get digits"],
    "data import": ["data import mine --from pictures"],
    "data check": ["data check digits"],
    "data clean": ["data clean"],
    "data show": ["data show digits --count 4 --out sheet.png"],
    "train": [f"{RUN} --out run", f"{RUN} --show-schedule"],
    "eval": ["eval run", "eval run --deploy"],
    "predict": ["predict run pictures", "predict run pictures --deploy"],
    "export": ["export run --to torch-export --out exported"],
    "hub push": ["hub push run you/net --out repository"],
    "shrink": ["shrink run --prune 0.5 --quantize-aware --distil run --int8 --only-write"],
    "card": ["card run --out card.md"],
    "paper": ["paper study --out paper"],
    "study list": ["study list"],
    "study plan": [f"study plan {STUDY} --scale cpu --out study --no-probe"],
    "study run": ["study run tiny.yaml --yes"],
    "study status": [f"study status {STUDY} --out study"],
    "study report": [f"study report {STUDY} --out study"],
    "study pick": ["study pick tiny.yaml --max-macs 100M"],
    "study sweep": [
        "study sweep tiny.yaml --lr-factors 0.00001,1 --share 1 --yes",
        "study sweep tiny.yaml --trials 2 --share 1 --out tuned --yes",
    ],
    "study merge": ["study merge study --into joined"],
    "study rm": ["study rm tiny.yaml --yes"],
    "gate": ["gate run run"],
    "record": ["record digits --target 5 --model resnet_nano -n 1 --set budget.steps=2 --out record"],
    "profile": [
        "profile resnet_nano vit_mini --batch 4 --seconds 0 --train",
        "profile resnet_nano --batch 4 --seconds 0 --dtype bf16 --deploy",
    ],
    "ablate": ["ablate outgrid_nano --only-write"],
    "scale": ["scale resnet_nano vit_mini --widths 0.5,1 --only-write"],
    "analyze rank": ["analyze rank --model resnet_nano --images 8"],
    "analyze compression": ["analyze compression runs/tiny"],
    "analyze errors": ["analyze errors runs/tiny"],
    "analyze attention": ["analyze attention runs/tiny --images 10"],
    "analyze overlays": ["analyze overlays runs/tiny --images 3,17"],
    "analyze curves": ["analyze curves runs/tiny"],
    "analyze robustness": ["analyze robustness runs/tiny --images 10"],
    "analyze calibration": ["analyze calibration runs/tiny --other digits --images 20"],
    "analyze energy": ["analyze energy runs/tiny --watts 20"],
    "analyze all": ["analyze all runs/tiny --images 10"],
    "report": ["report study --no-images"],
    "schema": ["schema run"],
}
"""In an order in which each finds what it needs: `eval run` after the training of `run`."""
CODES = {"data get": 2, "gate": 2} | ({} if find_spec("pytorch_grad_cam") else {"analyze overlays": 2})
"""Exit codes other than 0: digits is built in, a run is not better than itself, and an extra may be missing."""
TINY = """
data: {name: digits, image_size: 16}
recipes: digits-fast
budget: {steps: 2}
seeds: 1
models: [resnet_nano, vit_mini]
set: {recipe.validation: 0.1}
"""


def commands() -> list[str]:
    """The names of all commands, as they are typed."""
    return sorted(_below(get_command(app), ()))


def _below(command: object, path: tuple[str, ...]) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path)
    for name, each in (inner or {}).items():
        yield from _below(each, (*path, name))


def prepare(folder: Path) -> None:
    """What the lines above read."""
    import numpy as np
    from PIL import Image

    shutil.copytree(Path(__file__).parents[2] / "results" / "cpu" / STUDY, folder / "study")
    (folder / "tiny.yaml").write_text(TINY)
    random = np.random.default_rng(0)
    for name in ("crow", "owl"):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(0, 255, (9, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / name / f"{number}.png")


class InOrder(Generic[T]):
    """Carries lines out by `do`, each once, and before one all that stand before it: it finds what they left."""

    def __init__(self, do: Callable[[str], T]) -> None:
        self.do = do
        self.done: dict[str, T] = {}

    def __call__(self, line: str) -> T:
        for each in (each for lines in LINES.values() for each in lines):
            if line in self.done:
                break
            if each not in self.done:
                self.done[each] = self.do(each)
        return self.done[line]
