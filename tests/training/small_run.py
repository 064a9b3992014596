"""A small real run: a network of a few thousand parameters on handwritten digits."""

from __future__ import annotations

from typing import Any

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
