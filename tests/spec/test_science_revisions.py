"""Mends that move the numbers of some runs: exactly those runs carry the mend's name in their identity."""

from __future__ import annotations

from typing import Any

import pytest

from levelfield.spec import RunSpec
from levelfield.spec.overrides import apply
from levelfield.spec.science_revisions import revisions

DROPS, LATER = "drops-at-epochs-of-the-phase", "warmup-on-top-in-later-phases"


def later(schedule: str) -> str:
    return f"recipe.phases=[{{at_epoch: 1, optimizer: {{name: sgd}}, schedule: {schedule}}}]"


@pytest.mark.parametrize(
    ("assignment", "names"),
    [
        ("seed=0", []),
        ("recipe.schedule={name: onecycle}", []),
        ("recipe.schedule={name: cosine, warmup: {epochs: 2, on_top: true}}", []),
        ("recipe.schedule={name: multistep}", []),
        ("recipe.schedule={name: multistep, warmup: {epochs: 0}}", []),
        ("recipe.schedule={name: multistep, warmup: {epochs: 2, on_top: true}}", []),
        ("recipe.schedule={name: multistep, warmup: {epochs: 2}}", [DROPS]),
        ("recipe.schedule={name: step, warmup: {ratio: 0.1}}", [DROPS]),
        ("execution.micro_batch=128", []),
        ("execution.micro_batch=64", ["equal-parts-of-split-batches"]),
        (later("{name: step, warmup: {steps: 5}}"), [DROPS]),
        (later("{name: cosine, warmup: {steps: 5}}"), []),
        (later("{name: cosine, warmup: {steps: 5, on_top: true}}"), [LATER]),
        ("recipe.precision=bf16", []),
        ("model.name=vit_mini", []),
        ("recipe.prune={}", ["no-gradients-of-pruned-weights"]),
    ],
)
def test_a_mend_counts_where_it_moves_numbers_and_nowhere_else(assignment: str, names: list[str]) -> None:
    values: dict[str, Any] = {"model": {"name": "resnet_nano"}, "data": {"name": "digits"}, "budget": {"epochs": 9}}
    assert revisions(RunSpec.parse(apply(values, [assignment]), "run")) == names


@pytest.mark.parametrize("precision", ["bf16", "bf16_if_native"])
@pytest.mark.parametrize(
    ("model", "narrower"),
    [
        ("convnext_nano_p2", True),
        ("roadmap_5", True),
        ("vit_mini", True),
        ("outgrid_7m", False),
        ("rexnet_tiny", False),
    ],
)
def test_bf16_makes_other_runs_of_networks_whose_streams_were_float32(
    model: str, narrower: bool, precision: str
) -> None:
    values: dict[str, Any] = {"model": {"name": model}, "data": {"name": "digits"}, "budget": {"epochs": 9}}
    run = RunSpec.parse(apply(values, [f"recipe.precision={precision}"]), "run")
    assert revisions(run) == (["bf16-residual-streams"] if narrower else [])
