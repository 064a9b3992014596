"""A compression ladder says what its rungs do not share: who taught them, where they start, what they were timed on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from levelfield.analysis import compression_ladder
from levelfield.progress import Progress
from levelfield.runs import RunFolder
from levelfield.spec import Budget, DataSpec, Distil, Execution, ModelSpec, Prune, RunSpec, StartFrom
from levelfield.training import train

SPEC = RunSpec(
    model=ModelSpec(name="resnet_nano", options={"width_factor": 0.25}),
    data=DataSpec(name="digits", image_size=16, train_limit=100, test_limit=50),
    budget=Budget(steps=2),
    execution=Execution(device="cpu", workers=0),
)
SHORTER: dict[str, Any] = {"budget": Budget(steps=1), "recipe.optimizer.lr": 1e-4}


def trained(folder: Path, changes: dict[str, Any]) -> Path:
    train(SPEC.changed(changes), folder, progress=Progress(shown=False))
    return folder


def test_rungs_that_unlike_networks_taught_are_two(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", {})
    start = {**SHORTER, "model.start_from": StartFrom(source=str(whole)), "recipe.prune": Prune(share=0.5)}
    pruned = trained(tmp_path / "pruned", start)
    for name, teacher in (("by-whole", whole), ("by-pruned", pruned)):
        trained(tmp_path / name, {"recipe.distil": Distil(teacher=str(teacher))})
    found = compression_ladder.ladder([tmp_path])
    assert {name: made.done for name, made in found.items() if "by-" in name} == {
        "resnet_nano (by-whole)": "taught by resnet_nano (soft at temperature 4, weight 0.5)",
        "resnet_nano (by-pruned)": ("taught by resnet_nano [50 % of weights zero] (soft at temperature 4, weight 0.5)"),
    }


def test_a_rung_whose_parent_is_missing_says_what_it_starts_from(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", {})
    start = {**SHORTER, "model.start_from": StartFrom(source=str(whole))}
    for name, more, done in (
        ("longer", {}, ""), ("pruned", {"recipe.prune": Prune(share=0.5)}, ", 50 % of weights zero"),
    ):  # fmt: skip
        folder = trained(tmp_path / "alone" / name, {**start, **more})
        (made,) = compression_ladder.ladder([folder]).values()
        assert (made.parent, made.done) == (None, f"starts from {whole}, which is not here{done}")
