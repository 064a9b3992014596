"""`examples/one_file.py` computes what levelfield computes: the machinery around the method changes no number."""

from __future__ import annotations

import ast
import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import levelfield as lf
from levelfield import native
from levelfield.data import open_data
from levelfield.spec import DataSpec
from levelfield.statistics import RowScores, compare_rows

FILE = Path(__file__).parents[1] / "examples" / "one_file.py"
ONE = SimpleNamespace(**runpy.run_path(str(FILE)))
EPOCHS = 2

RECIPE = lf.Recipe.model_validate(
    {
        "optimizer": {"name": "adamw", "lr": ONE.PEAK_LR, "weight_decay": ONE.WEIGHT_DECAY},
        "schedule": {"name": "cosine", "warmup": {"steps": ONE.WARMUP_STEPS}},
        "batch_size": ONE.BATCH,
        "augment": {"crop": {"name": "pad_crop", "padding_px": ONE.PADDING_PX}},
        "regularisation": {"label_smoothing": ONE.SMOOTHING, "clip_norm": ONE.CLIP_NORM},
        "precision": "fp32",
        "validation": 0.0,
    }
)
"""The recipe that the file states, as levelfield states it."""


def without_shortcuts(num_classes: int) -> nn.Module:
    network: nn.Module = ONE.Network(num_classes, shortcut=False)
    return network


def by_levelfield(shortcut: bool, seed: int, out: Path) -> tuple[list[float], float]:
    """The loss of every step and the top-1: `resnet_nano` by its name, or the file's own network without shortcuts."""
    common: dict[str, Any] = {"device": "cpu", "log_every_steps": 1, "loggers": ()}
    if shortcut:
        model = {"name": "resnet_nano", "options": {"stem_stride": 1}}
        run = {"model": model, "data": {"name": "digits"}, "recipe": RECIPE, "budget": {"epochs": EPOCHS}, "seed": seed}
        result = lf.train(lf.RunSpec.model_validate(run), out, **common)
    else:
        given: dict[str, Any] = {"data": "digits", "recipe": RECIPE, "epochs": EPOCHS, "seed": seed}
        result = lf.train(model=without_shortcuts, out=out, **given, **common)
    losses = [line["train_loss"] for line in result.history if line["kind"] == "train"]
    return losses, result.result["top1"]


@cache
def by_the_file(shortcut: bool, seed: int) -> tuple[list[float], float]:
    train, test = ONE.digits()
    torch.use_deterministic_algorithms(False)
    network, losses = ONE.train(shortcut, seed, *train, EPOCHS)
    return losses, ONE.top1(network, *test)


@pytest.fixture
def plain_torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without levelfield's fast forms, which sum in another order on some processors."""
    monkeypatch.setenv("LEVELFIELD_NATIVE", "0")
    native.library.cache_clear()
    yield
    native.library.cache_clear()


@pytest.mark.usefixtures("plain_torch")
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("shortcut", [True, False])
def test_every_loss_is_levelfields_own_to_the_bit(shortcut: bool, seed: int, tmp_path: Path) -> None:
    losses, top1 = by_the_file(shortcut, seed)
    assert len(losses) == EPOCHS * 22 and losses[-1] < losses[0]
    assert by_levelfield(shortcut, seed, tmp_path / "run") == (losses, top1)
    environment = json.loads((tmp_path / "run" / "environment.json").read_text(encoding="utf-8"))
    assert environment["cpp_loops"] == "none"


@pytest.mark.parametrize("shortcut", [True, False])
def test_with_the_fast_forms_the_losses_are_the_files_within_rounding(shortcut: bool, tmp_path: Path) -> None:
    theirs, _ = by_the_file(shortcut, 0)
    ours, _ = by_levelfield(shortcut, 0, tmp_path / "run")
    assert len(ours) == len(theirs)
    assert ours[:4] == pytest.approx(theirs[:4], rel=1e-5)  # from there on training multiplies what rounding makes


def test_its_images_are_levelfields_digits() -> None:
    data = open_data(DataSpec(name="digits"))
    for split, (images, labels) in zip((data.train, data.test), ONE.digits(), strict=True):
        assert torch.equal(split.read(torch.arange(len(split))), images)
        assert torch.equal(split.labels, labels)
    assert (data.mean[0], data.std[0]) == (ONE.MEAN, ONE.STD)


@pytest.mark.parametrize("ours", [[99.6, 99.1, 99.4], [97.0, 97.1, 96.8]])
def test_it_decides_as_levelfield_decides(ours: list[float]) -> None:
    theirs = [99.3, 99.0, 99.5]
    rows = {"ours": RowScores(dict(enumerate(ours))), "theirs": RowScores(dict(enumerate(theirs)))}
    decided = compare_rows(rows, baseline="theirs").to_baseline("ours")
    assert decided is not None and decided.low is not None and decided.high is not None
    mean, half = ONE.difference(ours, theirs)
    assert (mean - half, mean, mean + half) == pytest.approx((decided.low, decided.estimate, decided.high), rel=1e-4)
    assert (abs(mean) > half) == decided.different


def test_it_stays_one_short_file_of_torch_alone() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    modules = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").partition(".")[0])
    assert modules == {"hashlib", "math", "torch", "sklearn"}


def test_run_as_a_program_it_prints_the_scores_and_a_verdict() -> None:
    text = FILE.read_text(encoding="utf-8")
    short = text.replace("(0, 1, 2), 10, 64", "(0, 1, 2), 1, 512").replace("= 3e-3, 22,", "= 3e-3, 1,")
    assert short != text
    done = subprocess.run([sys.executable, "-c", short], capture_output=True, text=True, timeout=300, check=True)
    first, second, decision = done.stdout.splitlines()
    ours, theirs = ([float(word) for word in line.split()[1:] if word != "%"] for line in (first, second))
    assert len(ours) == len(theirs) == 3
    mean, half = ONE.difference(ours, theirs)
    words = re.fullmatch(r"difference +(\S+) points, 95 % interval \[(\S+), (\S+)\]: ([a-z ]+)", decision)
    assert words is not None
    assert [float(word) for word in words.groups()[:3]] == pytest.approx([mean, mean - half, mean + half], abs=0.05)
    assert words[4] in ("better", "worse", "undecided")
