"""Batches of one image where BatchNorm sees maps of 1x1: refused before the first step, with what to change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_run import run_spec
from torch import nn

from levelfield.errors import UserError
from levelfield.models import create_model, list_models, model_info, on_meta
from levelfield.training import prepare, train_prepared
from levelfield.training.batchnorm_smallest_batch import fewest_images, single_value_norms
from levelfield.training.steps_and_phases import RunPlan

REXNET = ("model.name=rexnet_tiny_0.35", "data.test_limit=10")


@pytest.mark.parametrize(
    ("train", "batch", "micro", "shares", "steps", "fewest"),
    [
        (64, 32, None, 1, 2, 32),
        (65, 32, None, 1, 3, 1),
        (65, 32, None, 1, 2, 32),  # the budget ends before the short batch
        (65, 32, None, 1, 30, 1),
        (1, 32, None, 1, 1, 1),
        (20, 32, None, 1, 1, 20),
        (67, 32, None, 2, 3, 1),  # three images: two on one process, one on the other
        (67, 32, None, 1, 3, 3),
        (67, 32, 2, 1, 3, 1),  # three images in two parts
        (64, 32, 1, 1, 2, 1),
        (64, 32, 4, 4, 2, 1),
    ],
)
def test_fewest_images(train: int, batch: int, micro: int | None, shares: int, steps: int, fewest: int) -> None:
    assert fewest_images(RunPlan(-(-train // batch), steps, ()), train, batch, micro, shares) == fewest


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        (["data.train_limit=33"], r"recipe.batch_size \(now 32\), or leave an image out \(data.train_limit=32\)$"),
        (["execution.micro_batch=1"], r"recipe.batch_size \(now 32\), or change execution.micro_batch \(now 1\)$"),
    ],
)
def test_a_single_image_is_refused_before_the_first_step(tmp_path: Path, changes: list[str], remedy: str) -> None:
    with pytest.raises(UserError, match=rf"gives BatchNorm a single one.*1x1.*\nchange {remedy}"):
        train_prepared(prepare(run_spec(*REXNET, *changes)), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_what_never_meets_it_is_trained(tmp_path: Path) -> None:
    """A budget that ends before the short batch; a network whose maps are larger; norms that are frozen."""
    train_prepared(prepare(run_spec(*REXNET, "data.train_limit=33", "budget={steps: 1}")), tmp_path / "short")
    run = train_prepared(prepare(run_spec("data.train_limit=33", "budget={steps: 2}")), tmp_path / "large")
    assert run.result["samples_seen"] == 33
    frozen = "recipe.freeze.patterns=['stem*', 'levels*', 'last*']"
    train_prepared(prepare(run_spec(*REXNET, "data.train_limit=33", "budget={steps: 2}", frozen)), tmp_path / "frozen")


def kinds() -> list[str]:
    """Of the networks made of the same classes of modules, the smallest."""
    smallest: dict[frozenset[type], tuple[int, str]] = {}
    for name in list_models():
        model = on_meta(name, 5, 32)
        if model_info(name).plugin is None and any(
            isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()
        ):
            size = sum(parameter.numel() for parameter in model.parameters())
            kind = frozenset(type(module) for module in model.modules())
            smallest[kind] = min(smallest.get(kind, (size, name)), (size, name))
    return [name for _, name in smallest.values()]


@pytest.mark.parametrize("name", kinds())
def test_the_norms_found_are_those_that_torch_refuses(name: str) -> None:
    model = create_model(name, 5, 32)
    found = single_value_norms(model, 32)
    assert all(module.training for module in model.modules())
    try:
        model(torch.randn(1, 3, 32, 32))
        refused = False
    except ValueError as error:
        assert "more than 1 value per channel" in str(error)
        refused = True
    assert bool(found) is refused
