"""A small real run: a network of a few thousand parameters on handwritten digits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from levelfield.spec import RunSpec
from levelfield.spec.overrides import apply
from levelfield.training import Interrupted, prepare, train_prepared
from levelfield.training import run as run_module

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

# BatchNorm, and no kink: where a ReLU or a maximum ties, one processor's rounding decides otherwise than another's, and
# two runs that are equal but for rounding part within twenty steps.
SMOOTH = "model={name: roadmap_1, options: {gelu: true, patchify: true, depths: [1, 1, 1, 1], width_factor: 0.25}}"


def run_spec(*assignments: str) -> RunSpec:
    """The small run with `--set` style changes."""
    return RunSpec.parse(apply(BASE, assignments), "run")


def stop_after(steps: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the starts that follow ask to stop, the n-th `steps[n]` steps after it began."""
    left = iter(steps)

    class Stops:
        reason, signalled = "test", False

        def __init__(self, _: object) -> None:
            self.calls, self.after = 0, next(left)

        def __enter__(self) -> Stops:
            return self

        def __exit__(self, *_: object) -> None: ...

        def requested(self) -> bool:
            self.calls += 1
            return self.calls >= self.after

    monkeypatch.setattr(run_module, "StopRequest", Stops)


def stopped_at(step: int, spec: RunSpec, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train `spec` in one process until `step`, and stop there with a checkpoint."""
    with monkeypatch.context() as patch:
        stop_after([step], patch)
        with pytest.raises(Interrupted):
            train_prepared(prepare(spec), out)
