"""A run with gradient checkpointing is the run without it, byte for byte, and has its identity."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_run import run_spec

from levelfield.training import prepare, train_prepared

CHANCE = "recipe.regularisation={drop_path: 0.2, dropout: 0.2}"


@pytest.mark.parametrize(
    "changes",
    [
        ["recipe.averaging.name=ema", "recipe.freeze={patterns: ['stem*'], epochs: 1}", "recipe.validation=0.2"],
        ["model.name=outgrid_nano", "execution.micro_batch=16"],
        ["model.name=timm:test_efficientnet", "data.image_size=32", "budget={steps: 3}"],
        ["model.name=vit_mini", "recipe.precision=bf16", "budget={steps: 3}"],
    ],
)
def test_nothing_but_memory_and_time_differ(tmp_path: Path, changes: list[str]) -> None:
    runs = []
    for on in ("false", "true"):
        spec = run_spec(CHANCE, *changes, f"execution.gradient_checkpointing={on}")
        runs.append(train_prepared(prepare(spec), tmp_path / on))
    plain, recomputed = runs
    assert plain.folder.weights.read_bytes() == recomputed.folder.weights.read_bytes()
    assert plain.folder.identity == recomputed.folder.identity
    for key in ("loss", "top1", "macs", "params"):
        assert plain.result[key] == recomputed.result[key]
