"""A timed run trains what any run trains, and its warm-up neither learns nor leaves anything behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_run import run_spec

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.training import prepare, train_prepared
from levelfield.training import timed_run as module
from levelfield.training.batch_inputs import TrainingInputs
from levelfield.training.timed_run import timed_run, warm_up
from levelfield.training.training_loop import train_step

AVERAGED = ("recipe.averaging={name: ema, decay: 0.9}", "recipe.mix={mixup_alpha: 0.2, probability: 0.5}")


def test_a_timed_run_reaches_what_any_run_reaches(tmp_path: Path) -> None:
    spec = run_spec(*AVERAGED, "recipe.optimizer={name: muon, lr: 0.01}")
    result = train_prepared(prepare(spec), tmp_path / "run", progress=Progress(shown=False)).result
    warm_up(prepare(spec))
    found = timed_run(prepare(spec))
    assert (found.top1, found.loss, found.steps) == (result["top1"], result["loss"], result["steps"])
    assert min(found.build_s, found.train_s, found.test_s) > 0


def test_the_warm_up_meets_every_shape_and_no_label(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare(run_spec("data.test_limit=70", "execution.eval_batch_size=32"))
    seen: list[tuple[int, ...]] = []
    labels: list[torch.Tensor] = []
    real, taken = train_step, TrainingInputs.__init__

    def step(state: object, batch: object) -> None:
        seen.append(tuple(batch.x.shape))  # type: ignore[attr-defined]
        real(state, batch)  # type: ignore[arg-type]

    def init(self: TrainingInputs, loader: object, *rest: object) -> None:
        labels.append(loader.split.labels)  # type: ignore[attr-defined]
        taken(self, loader, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "step_of", lambda state: step)
    monkeypatch.setattr(TrainingInputs, "__init__", init)
    assert warm_up(prepared) > 0
    assert seen == [(32, 3, 16, 16)] * 5 + [(8, 3, 16, 16)]  # 200 images: six full batches, and one of eight
    own = prepared.data.train.labels
    assert 0.02 < float((labels[0] == own).float().mean()) < 0.25


def test_a_run_that_picks_its_epoch_is_refused_and_a_stop_is_an_interrupt() -> None:
    chosen = prepare(run_spec("data.validation=0.2", "recipe.validation=0.2", "recipe.selection=best_validation"))
    with pytest.raises(UserError, match="selection=last"):
        timed_run(chosen)
    with pytest.raises(KeyboardInterrupt):
        timed_run(prepare(run_spec()), lambda: True)
