"""A compiled network serves full batches; the short last one of an epoch goes through the plain network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import run_spec
from torch import Tensor, nn

from levelfield import native
from levelfield.data import make_loader
from levelfield.models import create_model
from levelfield.progress import Progress
from levelfield.training import prepare, train_prepared
from levelfield.training.batch_inputs import TrainingInputs
from levelfield.training.step_timing import seconds_per_step

SHORT = ("data.train_limit=72", "budget.epochs=2")  # batches of 32, 32, 8


class Recorder(nn.Module):
    """Stands for a compiled network and notes the sizes of its batches."""

    sizes: list[int] = []

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        y: Tensor = self.net(x)
        return y


@pytest.mark.parametrize(
    ("execution", "sizes", "mode"),
    [
        (["execution.compile=true"], [32, 32] * 2, None),
        (["execution.cuda_graphs=true"], [32, 32] * 2, "reduce-overhead"),
        (["execution.compile=true", "execution.micro_batch=16"], [16] * 8, None),
    ],
)
def test_only_full_batches_are_compiled(
    execution: list[str], sizes: list[int], mode: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    modes: list[str | None] = []

    def compiled(net: nn.Module, mode: str | None = None) -> nn.Module:
        modes.append(mode)
        return Recorder(net)

    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setattr(Recorder, "sizes", [])
    rest = [change for change in execution if "micro" in change]
    results: list[dict[str, Any]] = []
    for name, changes in (("plain", rest), ("compiled", execution)):
        prepared = prepare(run_spec(*SHORT, *changes))
        results.append(train_prepared(prepared, tmp_path / name, progress=Progress(shown=False)).result)
    assert Recorder.sizes == sizes and modes == [mode]
    assert results[0]["loss"] == results[1]["loss"]


def test_a_probe_compiles_only_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda net, mode=None: Recorder(net))
    monkeypatch.setattr(Recorder, "sizes", [])
    prepared = prepare(run_spec("execution.compile=true"))
    assert seconds_per_step(prepared, 0.0) > 0 and Recorder.sizes == []
    assert seconds_per_step(prepared, 0.0, warm_up=2, steps=3, as_executed=True) > 0
    assert Recorder.sizes == [32] * 5


def test_batches_augmented_ahead_are_the_same() -> None:
    changes = ["recipe.mix={mixup_alpha: 0.2, cutmix_alpha: 1.0, probability: 0.7}", "recipe.augment.flip=random"]
    prepared = prepare(run_spec("data.train_limit=104", *changes))  # batches of 32, 32, 32, 8
    loader = make_loader(prepared.data.train, batch_size=32, seed=0, shuffle=True)
    inputs = TrainingInputs(loader, prepared.spec.recipe, prepared.data, 16, 0, channels_last=True)
    assert inputs.ahead == 1
    for epoch, first in ((0, 0), (1, 0), (1, 2)):
        inputs.ahead = 1
        alone = [(batch.x.clone(), batch.targets) for batch in inputs.epoch(epoch, first)]
        inputs.ahead = 3
        ahead = [(batch.x.clone(), batch.targets) for batch in inputs.epoch(epoch, first)]
        assert len(ahead) == len(alone) == 4 - first
        assert all(
            torch.equal(a, b) for one, two in zip(alone, ahead, strict=True) for a, b in zip(one, two, strict=True)
        )


def test_outgrid_compiles_without_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where the compiled loops for CPUs are out of play: one graph forward, so one replay a step."""
    monkeypatch.setattr(native, "library", lambda: None)
    model = create_model("outgrid_nano", 10, 32).train()
    x = torch.randn(2, 3, 32, 32)
    whole = torch.compile(model, fullgraph=True, backend="eager")
    assert whole(x).shape == (2, 10)
