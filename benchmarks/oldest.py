"""Does levelfield work with the oldest versions that pyproject.toml states? `make oldest` asks in a .venv of its own.

    python benchmarks/oldest.py pins [--training]   name==oldest of every dependency (that training needs)
    python benchmarks/oldest.py recipes             train every shipped recipe and variant for a few steps on digits
    python benchmarks/oldest.py journey             a study with its page, ranks and a sweep of the command line, tiny

`recipes` needs the packages of `pins --training` alone, `journey` all of them. Exits with code 1 at what fails first.
"""

from __future__ import annotations

import argparse
import math
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Final

PYPROJECT: Final = Path(__file__).parents[1] / "pyproject.toml"
NOT_FOR_TRAINING: Final = {"typer", "rich", "statsmodels", "tensorboard", "altair", "vl-convert-python"}
"""What the command line, tables, pages and TensorBoard need."""
BATCH: Final = 16
JOURNEY: Final = (
    "models rexnet_tiny --explain",
    "study run quickstart --out runs/quickstart --yes --seeds 2 --set budget.epochs=1 --set data.train_limit=128",
    "report runs/quickstart",
    "analyze rank --model resnet_nano --images 16 --out ranks",
    "analyze rank --out random --networks 40 --no-sensitivity --set d_out_max=12 --set map_side=6 --yes",
)


def pins(training_only: bool) -> list[str]:
    """`name==version` at the lower bound of every dependency. Raises ValueError for one that states none."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    found = []
    for requirement in project["dependencies"]:
        stated = re.fullmatch(r"([a-z0-9-]+)>=([0-9.]+)", requirement)
        if stated is None:
            raise ValueError(f"{PYPROJECT.name}: {requirement!r} states no oldest version as name>=version")
        if not (training_only and stated[1] in NOT_FOR_TRAINING):
            found.append(f"{stated[1]}=={stated[2]}")
    return found


def show_versions(training_only: bool) -> None:
    """Print what is installed; exits where it is not the oldest stated version, so that nothing else is tried."""
    for pin in pins(training_only):
        name, wanted = pin.split("==")
        installed = metadata.version(name).split("+")[0]
        width = len(wanted.split("."))
        if installed.split(".")[:width] != wanted.split("."):
            raise SystemExit(f"wrong: {name} {installed} is installed, the oldest stated is {wanted}")
        print(f"{name} {installed}", end=", ")
    print(f"python {sys.version.split()[0]}")


def train_every_recipe() -> None:
    """Two epochs (after warm-up on top of them) of two steps of each recipe and variant, phases handing over after the
    first, at the recipe's own precision; then a test.
    """
    import torch

    from levelfield.progress import Progress
    from levelfield.spec import RunSpec, list_recipes, load_recipe
    from levelfield.spec.recipe_files import recipe_variants
    from levelfield.training import train

    torch.set_num_threads(1)
    for recipe_name in list_recipes():
        for name in (recipe_name, *(f"{recipe_name}+{variant}" for variant in recipe_variants(recipe_name))):
            recipe = load_recipe(name).recipe
            phases = tuple(phase.model_copy(update={"at_epoch": 1}) for phase in recipe.phases)
            recipe = recipe.model_copy(update={"phases": phases, "batch_size": BATCH, "validation": 0.0})
            spec = RunSpec.parse(
                {
                    "model": {"name": "resnet_nano"},
                    "data": {"name": "digits", "image_size": 16, "train_limit": 2 * BATCH, "test_limit": 30},
                    "recipe": recipe.model_dump(mode="json"),
                    "budget": {"epochs": 2},
                    "execution": {"device": "cpu", "threads": 1, "loggers": []},
                },
                name,
            )
            with tempfile.TemporaryDirectory() as folder:
                done = train(spec, Path(folder) / "run", progress=Progress(shown=False))
            loss = done.result["loss"]
            if not (math.isfinite(loss) and done.result["steps"] >= 4):
                raise SystemExit(f"wrong: {name} ends with {done.result}")
            print(f"ok: {name}, loss {loss:.2f}", flush=True)


def walk_through() -> None:
    """The commands of `JOURNEY`, one after the other, in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        for line in JOURNEY:
            done = subprocess.run(
                [sys.executable, "-m", "levelfield", *line.split()], cwd=folder, capture_output=True, text=True
            )
            if done.returncode != 0:
                raise SystemExit(f"wrong: levelfield {line}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
            print(f"ok: levelfield {line}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pins", "recipes", "journey"])
    parser.add_argument("--training", action="store_true", help="of pins: only what training needs")
    options = parser.parse_args()
    if options.what == "pins":
        print("\n".join(pins(options.training)))
    elif options.what == "recipes":
        show_versions(training_only=True)
        train_every_recipe()
    else:
        show_versions(training_only=False)
        walk_through()


if __name__ == "__main__":
    main()
