"""Which module trains at which step, and which does not: one owner, a function of the step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_run import run_spec, stop_after
from torch import nn

from levelfield.models import create_model, list_models, model_info, on_meta
from levelfield.module_mode import TrainingMode, averaged_twin, evaluation_mode
from levelfield.spec import Freeze, RunSpec
from levelfield.training import Interrupted, prepare, train_prepared

NAMES = [name for name in list_models() if model_info(name).plugin is None]
BATCHNORM = nn.modules.batchnorm._BatchNorm
PER_EPOCH = 7  # 200 images in batches of 32


def modes(model: nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in model.named_modules()}


def trained_steps(
    spec: RunSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[dict[str, bool], set[str]]]:
    """For every training step of a run: each module's mode, and the names of the parameters that have gradients."""
    import levelfield.training.training_loop as loop

    seen = []
    step = loop.train_step

    def watched(state: Any, *arguments: Any) -> None:
        step(state, *arguments)
        moved = {name for name, parameter in state.model.named_parameters() if parameter.grad is not None}
        seen.append((modes(state.model), moved))

    monkeypatch.setattr(loop, "train_step", watched)
    train_prepared(prepare(spec), folder)
    return seen


def test_what_is_frozen_thaws_with_the_first_step_of_its_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation after every epoch puts the network into evaluation mode in between."""
    spec = run_spec(
        "recipe.freeze={patterns: ['stem*', 'levels.0*'], epochs: 2}", "budget.epochs=3",
        "recipe.validation=0.1", "recipe.regularisation.dropout=0.1",
    )  # fmt: skip
    steps = trained_steps(spec, tmp_path / "run", monkeypatch)
    assert len(steps) == 3 * PER_EPOCH
    for number, (training, moved) in enumerate(steps):
        frozen = number < 2 * PER_EPOCH
        at_rest = {name for name, on in training.items() if not on}
        expected = {"stem.1", "levels.0.0.bn1", "levels.0.0.bn2"} if frozen else set()
        assert at_rest == expected, f"step {number}"
        assert ("stem.0.weight" in moved) is not frozen, f"step {number}"


@pytest.mark.parametrize("name", NAMES)
def test_only_norms_whose_own_parameters_are_frozen_leave_training(name: str) -> None:
    """Table: each network with the parameters of its root frozen, with one norm frozen, and with all but the head."""
    model = on_meta(name)
    every = [key for key, _ in model.named_parameters()]
    owned = {
        prefix: [f"{prefix}.{key}" for key, _ in module.named_parameters(recurse=False)]
        for prefix, module in model.named_modules()
        if isinstance(module, BATCHNORM)
    }
    at_root = tuple(key for key, _ in model.named_parameters(recurse=False))
    one = next(iter(owned), None)
    cases: list[tuple[tuple[str, ...], set[str]]] = [(at_root, set()), (tuple(every[:-2]), set(owned))]
    if one is not None:
        cases += [((owned[one][0],), set()), (tuple(owned[one]), {one})]
    for patterns, expected in cases:
        if not patterns:
            continue
        mode = TrainingMode(model, Freeze(patterns=patterns, epochs=3), PER_EPOCH)
        for step, at_rest in ((0, expected), (3 * PER_EPOCH - 1, expected), (3 * PER_EPOCH, set())):
            mode.enter(step)
            assert {key for key, on in modes(model).items() if not on} == at_rest, (patterns[:2], step)
            fixed = {key for key, parameter in model.named_parameters() if not parameter.requires_grad}
            assert fixed == (set(patterns) if step < 3 * PER_EPOCH else set())


def test_a_frozen_position_table_leaves_dropout_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = run_spec(
        "model.name=vit_mini", "recipe.freeze={patterns: [pos_embed]}", "budget.steps=1",
        "recipe.regularisation={drop_path: 0.2, dropout: 0.1}",
    )  # fmt: skip
    ((training, moved),) = trained_steps(spec, tmp_path / "run", monkeypatch)
    assert all(training.values()) and "pos_embed" not in moved and "head.weight" in moved


def test_a_run_resumed_after_the_thaw_ends_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped while frozen, at the thaw, and in the middle of a later epoch."""
    freeze = "recipe.freeze={patterns: ['stem*', 'levels*'], epochs: 1}"
    spec = run_spec(freeze, "recipe.regularisation.dropout=0.2", "budget.epochs=3", "recipe.averaging.name=ema")
    whole = train_prepared(prepare(spec), tmp_path / "whole")
    stop_after([3, 4, 9, 100], monkeypatch)
    for _ in range(3):
        with pytest.raises(Interrupted):
            train_prepared(prepare(spec), tmp_path / "pieces")
    pieces = train_prepared(prepare(spec), tmp_path / "pieces")
    assert pieces.result["resumed_from"] == [3, PER_EPOCH, 2 * PER_EPOCH + 2]
    assert pieces.folder.weights.read_bytes() == whole.folder.weights.read_bytes()


def test_what_the_network_itself_holds_fixed_is_never_trained() -> None:
    model = create_model("resnet_nano", 5, 16)
    model.get_parameter("levels.0.0.conv1.weight").requires_grad_(False)
    mode = TrainingMode(model, Freeze(patterns=("stem*",), epochs=1), PER_EPOCH)
    for step in (0, PER_EPOCH):
        mode.enter(step)
        assert not model.get_parameter("levels.0.0.conv1.weight").requires_grad
        assert model.get_parameter("stem.0.weight").requires_grad is (step == PER_EPOCH)
    assert mode.never_trained == {"levels.0.0.conv1.weight"}


def test_evaluation_gives_every_module_its_own_mode_back_even_after_an_error() -> None:
    model = create_model("resnet_nano", 5, 16)
    mode = TrainingMode(model, Freeze(patterns=("stem*",)), PER_EPOCH)
    mode.enter(0)
    before = modes(model)
    assert not before["stem.1"] and before["levels"]
    with pytest.raises(RuntimeError), evaluation_mode(model):
        assert not any(modes(model).values())
        raise RuntimeError
    assert modes(model) == before
    with evaluation_mode(model, but=[model.get_submodule("stem.1")]):
        assert [name for name, training in modes(model).items() if training] == ["stem.1"]
    assert modes(model) == before
    twin = averaged_twin(model)
    assert not any(modes(twin).values()) and not any(parameter.requires_grad for parameter in twin.parameters())
    mode.enter(0)
    assert not any(modes(twin).values())


def test_the_identity_of_runs_that_freeze_says_that_freezing_was_mended() -> None:
    assert "revisions" not in run_spec().science()
    assert run_spec("recipe.freeze.patterns=['stem*']").science()["revisions"] == ["freeze-modes"]
