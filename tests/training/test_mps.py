"""Simulations of Apple's MPS: a device that calls itself so, made of the CPU (`pretended_mps.py`).

What is shown is that a run keeps to what the device can do; no test here has run on Apple's hardware.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pretended_mps import MPS, OnMps, PretendedMps
from pretended_mps import mps as mps  # a fixture

import levelfield as lf
from levelfield.data.to_device import to_device
from levelfield.errors import UserError
from levelfield.precision import choose_precision
from levelfield.spec import Recipe, RunSpec
from levelfield.training import newton_schulz
from levelfield.training.device import choose_device


def test_the_pretended_device_refuses_what_mps_refuses(mps: PretendedMps) -> None:
    x = torch.arange(4.0, device="mps")
    assert isinstance(x, OnMps) and x.device == MPS and (x + 1).device == MPS and x.cpu().device.type == "cpu"
    assert type(x.cpu()) is torch.Tensor and torch.zeros(2).device.type == "cpu"
    for refused in (
        x.double,
        x.numpy,
        lambda: x + torch.zeros(4),
        lambda: torch.zeros(2, device="mps", dtype=torch.float64),
    ):
        with pytest.raises((TypeError, RuntimeError)):
            refused()
    weight = torch.nn.Linear(4, 2).to("mps")
    weight(x).sum().backward()
    assert weight.weight.device == MPS and weight.weight.grad is not None and weight.weight.grad.device == MPS
    assert isinstance(to_device(torch.zeros(2), torch.device("mps")), OnMps)


def train(folder: Path, device: str, recipe: str) -> Any:
    """Three steps of a recipe, on few images."""
    run = RunSpec.model_validate(
        {
            "model": {"name": "resnet_nano"},
            "data": {"name": "digits", "image_size": 16, "train_limit": 96},
            "recipe": {**Recipe.load(recipe).model_dump(), "batch_size": 32, "precision": "fp32"},
            "budget": {"steps": 3},
            "execution": {"device": device},
        }
    )
    return lf.train(run=run, out=folder)


@pytest.mark.parametrize("recipe", ["digits-fast", "cpu-fast", "modern-100ep", "outgrid-100ep", "rexnet-adamp+randaug"])
def test_simulated_mps_trains_and_tests_like_a_cpu(
    mps: PretendedMps, tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every augmentation, mix and schedule of a recipe; the same batches give the same losses on this device. Muon's
    products are float32 there, and are made so here."""
    monkeypatch.setattr(newton_schulz, "multiplies_bf16", lambda device: device.type == "cuda")
    there, here = train(tmp_path / "mps", "mps", recipe), train(tmp_path / "cpu", "cpu", recipe)
    assert there.result["device"] == "mps" and here.result["device"] == "cpu"
    assert there.result["loss"] == pytest.approx(here.result["loss"], rel=1e-5)
    assert there.result["top1"] == here.result["top1"]


def test_simulated_mps_goes_on_from_a_checkpoint_and_is_evaluated(mps: PretendedMps, tmp_path: Path) -> None:
    run = train(tmp_path / "mps", "mps", "digits-fast")
    scores = lf.evaluate(tmp_path / "mps", device="mps")
    assert scores.top1 == run.result["top1"]


def test_simulated_mps_is_float32(mps: PretendedMps) -> None:
    assert choose_device("auto") == torch.device("mps")
    assert choose_precision("auto", MPS) == choose_precision("bf16_if_native", MPS) == "fp32"
    for precision in ("bf16", "fp16"):
        with pytest.raises(UserError, match=f"precision {precision} is not supported on Apple's MPS\nset recipe"):
            choose_precision(precision, MPS)
