"""Modules of one's own that are built unlike the shipped ones: tied parameters, draws from any generator."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_api import QUIET, own_data
from torch import Tensor, nn

import levelfield as lf
from levelfield.spec import Averaging, Recipe
from levelfield.training import Interrupted
from levelfield.training.averaging import WeightAverage

RECIPE = Recipe.parse(
    {"batch_size": 16, "precision": "fp32", "validation": 0.0, "averaging": {"name": "ema", "decay": 0.8}}, "recipe"
)


class Alias(nn.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 3)
        self.a = nn.Linear(3, 3)
        self.b = self.a

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.b(torch.relu(self.a(torch.relu(self.stem(x.mean((2, 3)))))))
        return y


class TiedWeights(nn.Module):
    """A head that has the weight of the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 3)
        self.head = nn.Linear(3, 3)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.relu(self.embed(x.mean((2, 3)))))
        return y


class Draws(nn.Module):
    """A network that draws from numpy's and from Python's global generator in training."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x * (0.5 + float(np.random.rand())) + random.random()
        y: Tensor = self.head(x.mean((2, 3)))
        return y


def built(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(5)
    return kind()


@pytest.mark.parametrize("kind", [Alias, TiedWeights])
@pytest.mark.parametrize("due", [True, torch.tensor(True)], ids=["host", "device"])
def test_the_average_moves_a_tied_parameter_once(kind: type[nn.Module], due: Any) -> None:
    model = built(kind)
    average = WeightAverage(model, Averaging(name="ema", decay=0.9))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    average.update(model, due)
    for name, value in average.module.state_dict().items():
        torch.testing.assert_close(value, before[name] + (1 - 2 / 11))


@pytest.mark.parametrize("kind", [Alias, TiedWeights, Draws])
def test_stopped_and_gone_on_with_is_never_stopped(kind: type[nn.Module], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"data": own_data(), "recipe": RECIPE, "epochs": 2, **QUIET}
    whole = lf.train(model=built(kind), out=tmp_path / "whole", **settings)
    stops = 0
    while True:
        try:
            parts = lf.train(model=built(kind), out=tmp_path / "parts", stop_after_seconds=1e-6, **settings)
            break
        except Interrupted:
            stops += 1
    assert stops >= 2
    assert parts.folder.weights.read_bytes() == whole.folder.weights.read_bytes()
    assert parts.result["loss"] == whole.result["loss"]
    loaded = lf.load_run(parts.folder.path, factory=lambda num_classes: kind())
    assert lf.evaluate(loaded, own_data(), device="cpu").loss == pytest.approx(whole.result["loss"])
