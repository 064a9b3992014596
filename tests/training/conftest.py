"""A small real run: a network of a few thousand parameters on handwritten digits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from levelfield.spec import RunSpec
from levelfield.spec.overrides import apply

BASE: dict[str, Any] = {
    "model": {"name": "resnet_nano"},
    "data": {"name": "digits", "image_size": 16, "train_limit": 200, "test_limit": 100},
    "recipe": {
        "batch_size": 32,
        "optimizer": {"name": "adamw", "lr": 3e-3},
        "schedule": {"name": "cosine"},
        "augment": {"crop": {"name": "pad_crop", "padding_px": 1}},
        "precision": "fp32",
        "validation": 0.0,
    },
    "budget": {"epochs": 2},
    "execution": {"device": "cpu", "threads": 1, "loggers": []},
}


def run_spec(*assignments: str) -> RunSpec:
    """The small run with `--set` style changes."""
    return RunSpec.parse(apply(BASE, assignments), "run")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `levelfield train` on a configuration file in a process (group) of its own."""

    def begin(spec: RunSpec, out: Path, *extra: str, launcher: list[str] | None = None) -> subprocess.Popen[str]:
        config = tmp_path / f"{out.name}.yaml"
        config.write_text(spec.model_dump_json())
        program = launcher or [sys.executable]
        return subprocess.Popen(
            [*program, "-m", "levelfield", "train", "--config", str(config), "--out", str(out), "--json", *extra],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    return begin
