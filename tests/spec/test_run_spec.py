"""The values that describe a run: what they refuse, what they say, and what their identity hangs on."""

from __future__ import annotations

from typing import Any

import pytest

from levelfield.errors import UserError
from levelfield.spec import RunSpec
from levelfield.spec.overrides import apply


def run_values(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "model": {"name": "resnet_nano", "num_classes": 10, "image_size": 16},
        "data": {"name": "digits", "image_size": 16, "validation": 0.0, "checksum": "c0ffee"},
        "recipe": {"precision": "fp32"},
        "budget": {"epochs": 2},
    }
    return apply(values, [f"{path}={value}" for path, value in changes.items()])


def parse(**changes: Any) -> RunSpec:
    return RunSpec.parse(run_values(**changes), "run")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("recipe.optimizer.wieght_decay=0.1", "did you mean 'weight_decay'"),
        ("recipe.optimizer.lr=-1", "recipe.optimizer.lr"),
        ("budget.epochs=0", "budget.epochs"),
        ("recipe.schedule.final_lr=0.1", "say which kind it is with its key 'name'"),
        ("recipe.augment.crop.name=zoom", "recipe.augment.crop"),
        ("recipe.batch_size=0", "recipe.batch_size"),
        ("seed=-1", "seed"),
        ("recipe.optimizer.lr=inf", "recipe.optimizer.lr"),
        ("recipe.optimizer.lr=1e400", "recipe.optimizer.lr"),
        ("recipe.optimizer.weight_decay=-inf", "recipe.optimizer.weight_decay"),
        ("budget.epochs=1e30", "budget.epochs"),
        ("budget.steps=99999999999999999999", "budget.steps"),
        ("budget.samples=99999999999999999999", "budget.samples"),
        ("modell.name=x", "did you mean 'model'"),
    ],
)
def test_bad_values_are_named_with_their_remedy(assignment: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        RunSpec.parse(apply(run_values(), [assignment]), "run")
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) <= 4


@pytest.mark.parametrize("kind", ["constant", "step"])
def test_another_kind_refuses_the_keys_of_the_old_one_and_says_how_to_replace_it(kind: str) -> None:
    values = run_values(**{"recipe.schedule": "{name: linear, final_lr: 0.1}"})
    with pytest.raises(UserError, match=r"unknown key .*final_lr'; it belongs to cosine, linear, ") as error:
        RunSpec.parse(apply(values, [f"recipe.schedule.name={kind}"]), "run")
    remedy = f"recipe.schedule={{name: {kind}}}"
    assert f"'{remedy}'" in str(error.value)
    assert RunSpec.parse(apply(values, [remedy]), "run").recipe.schedule.name == kind


def test_budget_override_replaces_the_other_length() -> None:
    assert parse(**{"budget.steps": 30}).budget.model_dump() == {"epochs": None, "steps": 30, "samples": None}


def test_numbers_that_yaml_takes_for_text_are_numbers() -> None:
    assert parse(**{"recipe.optimizer.lr": "1e-3"}).recipe.optimizer.lr == 1e-3


def test_set_needs_an_equals_sign() -> None:
    with pytest.raises(UserError, match="key=value"):
        apply(run_values(), ["seed"])


SCIENCE = [
    ("seed", 1),
    ("recipe.optimizer.lr", 0.5),
    ("recipe.precision", "bf16"),
    ("data.checksum", "decaf"),
    ("data.train_limit", 100),
    ("budget.epochs", 3),
    ("model.name", "vit_mini"),
    ("recipe.regularisation.label_smoothing", 0.1),
    ("execution.micro_batch", 8),  # BatchNorm sees the parts
]
NOT_SCIENCE = [
    ("execution.device", "cpu"),
    ("execution.workers", 7),
    ("execution.checkpoint_every_steps", 5),
    ("recipe.name", "renamed"),
    ("recipe.description", "other prose"),
]


@pytest.mark.parametrize(("path", "value"), SCIENCE)
def test_science_changes_the_identity(path: str, value: Any) -> None:
    assert parse(**{path: value}).identity() != parse().identity()


@pytest.mark.parametrize(("path", "value"), NOT_SCIENCE)
def test_execution_and_prose_do_not(path: str, value: Any) -> None:
    assert parse(**{path: value}).identity() == parse().identity()


def test_plugin_counts_by_its_source_not_its_place() -> None:
    values = run_values()
    here = RunSpec.parse({**values, "plugins": [{"path": "/a/my.py", "digest": "1"}]}, "run")
    there = RunSpec.parse({**values, "plugins": [{"path": "/b/my.py", "digest": "1"}]}, "run")
    edited = RunSpec.parse({**values, "plugins": [{"path": "/a/my.py", "digest": "2"}]}, "run")
    assert here.identity() == there.identity() != edited.identity()


def test_an_open_run_has_no_identity() -> None:
    values = run_values()
    del values["data"]["checksum"]
    with pytest.raises(UserError, match=r"data\.checksum"):
        RunSpec.parse(values, "run").identity()


def test_a_dumped_run_is_valid_input() -> None:
    run = parse()
    assert RunSpec.parse(run.model_dump(mode="json"), "again") == run
