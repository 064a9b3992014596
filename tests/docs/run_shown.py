"""Run what the pages show, each page in a folder of its own: `python run_shown.py FOLDER` prints what failed as JSON.

A process of its own, as commands set torch's switches for good.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import sys
import tomllib
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from shown_commands import FILE, PAGES, ROOT, TINY, Step, steps
from typer.main import get_command
from typer.testing import CliRunner

import levelfield
from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.known_models import names
from levelfield.models import registry
from levelfield.studies.declared.study import StudySpec


def class_folders(folder: Path, side_px: int, classes: int, train: int = 8, test: int = 5) -> None:
    """Images of noise, a folder a class."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for label in range(classes):
            place = folder / split / f"class{label:03d}"
            place.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")


def world(root: Path) -> None:
    """What the pages take for granted: data sets by name (noise), a folder of birds, a finished quickstart."""
    for name, side_px, classes in (("cifar10", 32, 10), ("cifar100", 32, 100)):
        class_folders(root / "data" / name, side_px, classes)
    for name in ("tiny-imagenet-34", "cub-20"):
        class_folders(root / "data" / name, 64, 4)
    class_folders(root / "home" / "pictures" / "birds", 24, 3)
    os.environ |= {
        "LEVELFIELD_DATA": str(root / "data"), "LEVELFIELD_CACHE": str(root / "cache"), "HOME": str(root / "home"),
        "LEVELFIELD_NATIVE": "0",
    }  # fmt: skip
    os.chdir(root)
    sets = [word for assignment in TINY for word in ("--set", assignment)]
    command("study", "run", "quickstart", *sets, "--seeds", "2", "--yes")
    run = ["--model", "resnet_nano", "--data", "digits", "--image-size", "16", *sets]
    (root / "run.yaml").write_text(command("train", *run, "--show-config"), encoding="utf-8")


def page_folder(root: Path, page: str) -> Path:
    """The folder of a page, with what its commands find there: finished runs, and copies of committed results."""
    here = root / "pages" / re.sub(r"\W+", "-", page)
    here.mkdir(parents=True)
    for name in ("runs/quickstart", "runs/here", "runs/there", "A", "B"):
        shutil.copytree(root / "runs" / "quickstart", here / name)
    for name, run in zip(
        ("runs/a", "runs/b"), sorted((root / "runs/quickstart/resnet_nano").glob("seed*")), strict=True
    ):
        shutil.copytree(run, here / name)
    shutil.copytree(root / "home" / "pictures" / "birds", here / "birds")
    shutil.copy(root / "run.yaml", here)
    results = ROOT / "results" / "cpu"
    shutil.copytree(results / "transfer-cpu", here / "results" / "cpu" / "transfer-cpu")
    shutil.copytree(results / "compression-rexnet", here / "runs" / "compression-rexnet-cpu")
    return here


def command(*arguments: str) -> str:
    """What the command line prints on stdout. Raises where it does not end well."""
    done = CliRunner().invoke(app, list(arguments))
    if done.exit_code != 0:
        raise RuntimeError(f"exit code {done.exit_code}: {done.exception!r}\n{done.output[-1500:]}") from done.exception
    return done.stdout


def parse(arguments: list[str]) -> None:
    """Let the command line read `arguments`, and call nothing. Raises for what it does not know."""
    here, rest = get_command(app), list(arguments)
    while hasattr(here, "commands"):
        here = here.commands[rest.pop(0)]
    try:
        with here.make_context(here.name, rest):
            pass
    except UserError as error:  # the reader's own file, which is not here
        if not re.fullmatch(r"plugin .*: no such file\b.*", str(error), re.S):
            raise


def check(words: list[str]) -> None:
    """Hold a line that is not executed against what knows its words. Raises where something is unknown."""
    if words[0] == "levelfield":
        parse(words[1:])
    elif words[0] == "torchrun":
        from torch.distributed.run import get_args_parser

        given = get_args_parser().parse_args(words[1:])
        assert given.module and given.training_script == "levelfield", words
        parse(given.training_script_args)
    elif words[0] == "make":
        rule = re.compile(rf"^{words[1]}:.* ##", re.MULTILINE)
        assert rule.search((ROOT / "Makefile").read_text(encoding="utf-8")), f"no target {words[1]}"
    elif words[0] == ".":
        assert "VENV := .venv\n" in (ROOT / "Makefile").read_text(encoding="utf-8")
    else:
        assert words[:2] == ["pip", "install"], words
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        *options, what = words[2:]
        if options == ["-r"]:
            assert (ROOT / what).is_file(), words
            return
        name, _, extra = what.rstrip("]").partition("[")
        assert options in ([], ["--no-deps"]) and name == project["name"], words
        assert not extra or extra in project["optional-dependencies"], words


def code(step: Step, here: Path) -> None:
    """Write a block of code to a file, of the name that it states, for commands to come; Python that states none is
    run. YAML states a study."""
    stated = FILE.match(step.text)
    place = here / (stated[1] if stated else f"block{step.line}.{step.language}")
    place.write_text(step.text, encoding="utf-8")
    if step.language == "yaml":
        StudySpec.parse(yaml.safe_load(step.text) | {"name": place.stem}, step.page)
    elif stated:
        compile(step.text, place, "exec")
    else:
        runpy.run_path(str(place), init_globals=PREPARED.get(step.page))


def do(step: Step, here: Path) -> None:
    words = shlex.split(step.text) if not step.code else []
    if step.code:
        code(step, here)
    elif step.kind == "executed":
        words, to = (words[: words.index(">")], words[-1]) if ">" in words else (words, os.devnull)
        Path(to).write_text(command(*words[1:], *step.extra), encoding="utf-8")
    else:
        check(words)
        if step.planned:
            command(*step.planned[1:])


def prepared() -> dict[str, dict[str, Any]]:
    """By page, the names that its Python takes for granted."""
    batch = {"images_u8": torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8), "labels": torch.arange(8)}
    return {
        "docs/reference/augmentation.md": {**batch, "sample_index": torch.arange(8), "epoch": 0, "seed": 0, "step": 0}
    }


PREPARED = prepared()


def main(root: Path) -> list[tuple[str, int, str]]:
    run = levelfield.Study.run

    def tiny(self: Any, *arguments: Any, **given: Any) -> Any:
        return run(self, *arguments, **{"overrides": TINY, "seeds": (0, 1), **given})

    levelfield.Study.run = tiny  # what Python blocks call
    tables = (registry._models, registry._loaded_plugins, names._registered)
    kept = [dict(table) for table in tables]
    world(root)
    failed = []
    for page in PAGES:
        todo = [step for step in steps(page, (ROOT / page).read_text(encoding="utf-8")) if step.kind != "marked"]
        if not todo:
            continue
        here = page_folder(root, page)
        os.chdir(here)
        for step in todo:
            try:
                do(step, here)
            except BaseException:
                failed.append((page, step.line, f"{step.text.strip()}\n{traceback.format_exc()[-2500:]}"))
        for table, before in zip(tables, kept, strict=True):
            table.clear()
            table.update(before)
    return failed


if __name__ == "__main__":
    failures = main(Path(sys.argv[1]).resolve())
    sys.stderr.flush()
    print("\n" + json.dumps(failures))
