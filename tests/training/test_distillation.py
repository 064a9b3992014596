"""A distilled run: the loss is the papers', the teacher is another run by its content, and nothing else changes."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ranks import in_ranks
from scipy.special import log_softmax, softmax
from small_run import run_spec, stopped_at
from torch import Tensor
from torch.nn import functional as F

from levelfield.cli.check_names import check_run
from levelfield.data.augment.normalize import IMAGENET_MEAN, IMAGENET_STD
from levelfield.errors import UserError
from levelfield.runs import RunFolder
from levelfield.spec import Distil, RunSpec
from levelfield.training import Prepared, load_run, prepare, train_prepared
from levelfield.training.batch_inputs import TrainingInputs, run_loader
from levelfield.training.processes import World
from levelfield.training.steps_and_phases import make_plan
from levelfield.training.teacher import load_teacher
from levelfield.training.training_loop import distilled_sum, train_step
from levelfield.training.training_state import TrainState

LOGITS = torch.tensor([[1.5, -0.5, 0.25], [0.0, 2.0, -1.0]], dtype=torch.float32)
TAUGHT = torch.tensor([[0.5, 1.0, -2.0], [3.0, 0.0, 0.5]], dtype=torch.float32)
TARGETS = torch.tensor([0, 1])
SGD = "recipe.optimizer={name: sgd, lr: 0.01, momentum: 0.9}"  # Adam magnifies the rounding of small gradients


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the ten digits."""
    out = tmp_path_factory.mktemp("teacher") / "run"
    train_prepared(prepare(run_spec("model.name=resnet_nano", "seed=7", "budget={epochs: 1}")), out)
    return out


def distilled(teacher: Path, *assignments: str) -> RunSpec:
    return run_spec("model.name=vit_mini", "budget={steps: 6}", f"recipe.distil.teacher={teacher}", *assignments)


def own_sum(logits: Tensor) -> Tensor:
    return F.cross_entropy(logits, TARGETS, reduction="sum")


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("weight", [0.1, 1.0])
def test_the_soft_loss_is_hintons(temperature: float, weight: float) -> None:
    """(1 - w) CE + w T^2 KL(teacher at T || student at T), computed by NumPy in float64."""
    distil = Distil(teacher="t", temperature=temperature, weight=weight)
    logits, taught = LOGITS.double().numpy(), TAUGHT.double().numpy()
    p = softmax(taught / temperature, axis=1)
    divergence = (p * (np.log(p) - log_softmax(logits / temperature, axis=1))).sum()
    cross_entropy = -log_softmax(logits, axis=1)[[0, 1], TARGETS.numpy()].sum()
    expected = (1 - weight) * cross_entropy + weight * temperature**2 * divergence
    assert distilled_sum(own_sum(LOGITS), LOGITS, TAUGHT, distil).item() == pytest.approx(expected, rel=1e-6)


def test_the_soft_gradient_does_not_fade_with_the_temperature() -> None:
    """Hinton et al., equation 4: at high temperature T^2 times the gradient tends to (z - v) / N of centred logits."""
    logits = (LOGITS - LOGITS.mean(1, keepdim=True)).double().requires_grad_()
    taught = (TAUGHT - TAUGHT.mean(1, keepdim=True)).double()
    distil = Distil(teacher="t", temperature=1000.0, weight=1.0)
    distilled_sum(own_sum(logits), logits, taught, distil).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, (logits.detach() - taught) / 3, atol=2e-3, rtol=0)


def test_the_hard_loss_is_deits() -> None:
    """Half the cross-entropy with the label, half with the teacher's most likely class (equation 3)."""
    distil = Distil(teacher="t", form="hard")
    log_p = log_softmax(LOGITS.double().numpy(), axis=1)
    expected = -0.5 * (log_p[0, 0] + log_p[1, 1]) - 0.5 * (log_p[0, 1] + log_p[1, 0])
    assert distilled_sum(own_sum(LOGITS), LOGITS, TAUGHT, distil).item() == pytest.approx(expected, rel=1e-6)


def state_and_batch(prepared: Prepared) -> tuple[TrainState, Any]:
    spec, data, world = prepared.spec, prepared.data, World()
    plan = make_plan(spec.recipe, spec.budget, len(data.train))
    args = (spec.recipe, plan, spec.execution, prepared.device, world)
    state = TrainState(prepared.build_model(), *args, prepared.load_teacher())
    loader = run_loader(spec, data.train, spec.recipe.batch_size, prepared.device, world, shuffle=True)
    assert spec.model.image_size is not None
    inputs = TrainingInputs(loader, spec.recipe, data, spec.model.image_size, spec.seed, spec.execution.channels_last)
    state.train_mode()
    return state, next(iter(inputs.epoch(0, 0)))


def test_the_teacher_is_frozen_and_sees_the_mixed_images(teacher: Path) -> None:
    """The loss of a step is that of the teacher's logits of the same mixed batch; the step leaves the teacher alone."""
    spec = distilled(teacher, "recipe.mix={mixup_alpha: 0.8, cutmix_alpha: 1.0}", "recipe.distil.weight=0.7")
    prepared = prepare(spec)
    state, batch = state_and_batch(prepared)
    assert state.teacher is not None and prepared.spec.recipe.distil is not None
    before = {name: value.clone() for name, value in state.teacher.state_dict().items()}
    other = load_run(teacher).model
    with torch.no_grad():
        taught, logits = other(batch.x), state.model(batch.x)
    own = F.cross_entropy(logits, batch.targets, reduction="sum")
    expected = distilled_sum(own, logits, taught, prepared.spec.recipe.distil)
    state.enter_step()
    train_step(state, batch)
    assert state.interval.sums[0].item() == pytest.approx(expected.item(), rel=1e-5)
    assert not state.teacher.training and all(not part.training for part in state.teacher.modules())
    assert all(parameter.grad is None for parameter in state.teacher.parameters())
    after = state.teacher.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_teacher_sees_images_as_it_was_trained_on_them(tmp_path: Path) -> None:
    """Another size and another normalisation: its logits are those of the resized image under its own mean and std."""
    out = tmp_path / "run"
    train_prepared(
        prepare(run_spec("recipe.augment.normalize=imagenet", "data.image_size=24", "budget={steps: 2}")), out
    )
    prepared = prepare(distilled(out, "recipe.augment.normalize=half"))
    loaded = load_teacher(prepared.spec, prepared.data)
    assert loaded is not None
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    resized = F.interpolate((images - mean) / std, (24, 24), mode="bilinear", antialias=True)
    with torch.no_grad():
        torch.testing.assert_close(loaded((images - 0.5) / 0.5), load_run(out).model(resized), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "how", [[], ["recipe.distil.form=hard", "execution.micro_batch=8"], ["recipe.precision=bf16"]], ids=str
)
def test_a_resumed_run_ends_with_the_same_bytes(
    how: list[str], teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = distilled(teacher, "recipe.mix={mixup_alpha: 0.8}", *how)
    whole = train_prepared(prepare(spec), tmp_path / "whole").folder
    stopped_at(3, spec, tmp_path / "cut", monkeypatch)
    cut = train_prepared(prepare(spec), tmp_path / "cut").folder
    assert cut.weights.read_bytes() == whole.weights.read_bytes()
    plain = train_prepared(prepare(spec.changed({"recipe.distil": None})), tmp_path / "plain").folder
    assert plain.weights.read_bytes() != whole.weights.read_bytes()


def test_parts_of_a_batch_are_taught_as_the_whole(teacher: Path, tmp_path: Path) -> None:
    """The student has no BatchNorm, so that parts change rounding only."""
    runs = [
        train_prepared(prepare(distilled(teacher, SGD, f"execution.micro_batch={size}")), tmp_path / size).result
        for size in ("null", "8")
    ]
    assert runs[0]["loss"] == pytest.approx(runs[1]["loss"], rel=1e-3)


def _train(spec: RunSpec, out: Path) -> dict[str, Any]:
    return train_prepared(prepare(spec), out).result


def test_two_processes_train_the_run_of_one(teacher: Path, tmp_path: Path) -> None:
    spec = distilled(teacher, SGD, "recipe.mix={mixup_alpha: 0.8}")
    one = _train(spec, tmp_path / "one")
    two = in_ranks([partial(_train, spec, tmp_path / "two"), partial(_train, spec, tmp_path / "rank1")])
    assert not isinstance(two[0], BaseException), two
    assert two[0]["identity"] == one["identity"]
    assert two[0]["loss"] == pytest.approx(one["loss"], rel=1e-3)


def test_a_run_is_told_by_its_teacher_and_not_by_where_that_lies(teacher: Path, tmp_path: Path) -> None:
    spec = distilled(teacher)
    here = prepare(spec).spec
    moved = shutil.copytree(teacher, tmp_path / "moved")
    assert prepare(distilled(moved)).spec.identity() == here.identity()
    assert here.recipe.distil is not None
    assert here.recipe.distil.teacher_identity == RunFolder(teacher).identity
    assert "teacher" not in here.science()["recipe"]["distil"]
    train_prepared(prepare(run_spec("seed=8", "budget={steps: 1}")), tmp_path / "other")
    assert prepare(distilled(tmp_path / "other")).spec.identity() != here.identity()
    with pytest.raises(UserError, match="is another teacher than the run was made with"):
        prepare(here.changed({"recipe.distil.teacher": str(tmp_path / "other")}))


def test_what_cannot_teach_is_refused(teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^recipe\.distil\.teacher: .*nowhere is not a run folder"):
        prepare(distilled(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"^recipe\.distil\.teacher: .*nowhere is not a run folder"):
        check_run(distilled(tmp_path / "nowhere"))  # before torch is loaded
    stopped_at(1, run_spec(), tmp_path / "begun", monkeypatch)
    with pytest.raises(UserError, match=r"^recipe\.distil\.teacher: .*begun holds no finished run"):
        prepare(distilled(tmp_path / "begun"))
    other = shutil.copytree(teacher, tmp_path / "other")
    said = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**said, "classes": ["naught", *said["classes"][1:]]}))
    with pytest.raises(UserError, match=r"tells 10 classes apart \(naught, 1, \.\.\.\), and digits has 10 \(0, 1,"):
        prepare(distilled(other))


def test_the_result_says_what_the_teacher_computes(teacher: Path, tmp_path: Path) -> None:
    result = train_prepared(prepare(distilled(teacher, "budget={steps: 1}")), tmp_path / "run").result
    taught = RunFolder(teacher).result()
    assert taught is not None and result["teacher_macs"] == taught["macs"]
    assert result["macs"] != result["teacher_macs"]
