"""Study files: rows, overrides, scales, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from levelfield.errors import UserError
from levelfield.studies.declared.seeds import parse_seeds
from levelfield.studies.results.study_json import write_study
from levelfield.studies.results.study_request import settle
from levelfield.studies.results.study_rows import study_rows
from levelfield.study import Study
from levelfield.tables import read_study

Write = Callable[..., Path]


def test_models_times_recipes_times_data(study_file: Write, tmp_path: Path) -> None:
    path = study_file(data=["digits", {"name": "cifar10"}], baseline=None, models=["resnet_nano", "vit_*"])
    rows = Study.load(path).planned_rows()
    assert [row.name for row in rows] == [
        "resnet_nano-digits", "resnet_nano-cifar10", "vit_mini-digits", "vit_mini-cifar10",
    ]  # fmt: skip
    assert [row.spec.data.name for row in rows[:2]] == ["digits", "cifar10"]
    assert rows[0].spec.recipe.optimizer.lr == 0.003
    assert rows[0].spec.budget.steps == 6


def test_later_levels_are_stronger(study_file: Write) -> None:
    path = study_file(
        set={"recipe.optimizer.lr": 0.1, "recipe.batch_size": 32, "recipe.optimizer.weight_decay": 0.5},
        models=None,
        baseline=None,
        groups=[
            {
                "name": "one",
                "set": {"recipe.optimizer.lr": 0.2},
                "rows": [
                    {"model": "resnet_nano"},
                    {"model": "resnet_nano", "name": "own", "set": {"recipe.optimizer.lr": 0.3}},
                ],
            }
        ],
        scales={"cpu": {"set": {"budget.epochs": 2}, "rows": {"own": {"recipe.optimizer.lr": 0.4}}, "seeds": [7]}},
    )
    study = Study.load(path)
    full = {row.name: row.spec for row in study.planned_rows()}
    cpu = {row.name: row.spec for row in study.planned_rows("cpu")}
    assert full["resnet_nano"].recipe.optimizer.lr == 0.2
    assert full["own"].recipe.optimizer.lr == 0.3
    assert (full["own"].recipe.batch_size, full["own"].recipe.optimizer.weight_decay) == (32, 0.5)
    assert cpu["resnet_nano"].recipe.optimizer.lr == 0.2
    assert cpu["own"].recipe.optimizer.lr == 0.4
    assert (cpu["own"].budget.epochs, cpu["own"].budget.steps) == (2, None)
    assert [run.seed for run in study.plan("cpu")] == [7, 7]
    changed = study.planned_rows("cpu", overrides=["recipe.optimizer.lr=5e-1"])
    assert {row.spec.recipe.optimizer.lr for row in changed} == {0.5}


def test_the_first_seed_of_all_rows_comes_first_and_a_second_stage_after_its_first(study_file: Write) -> None:
    path = study_file(
        models=None,
        baseline=None,
        rows=[{"model": "resnet_nano", "name": "two", "after": "one"}, {"model": "resnet_nano", "name": "one"}],
    )
    runs = Study.load(path).plan()
    assert [run.name for run in runs] == ["one seed 0", "two seed 0", "one seed 1", "two seed 1"]
    start = runs[1].spec.model.start_from
    assert start is not None and start.source == "row:one"


def test_what_a_study_varies_reaches_its_report(study_file: Write, tmp_path: Path) -> None:
    study = Study.load(study_file(varies=["model.name", "recipe.optimizer"]))
    asked = settle(study, tmp_path)
    rows = study_rows(study, asked, tmp_path, {})
    write_study(rows, asked, tmp_path)
    assert read_study(tmp_path).varies == rows.varies == ("model.name", "recipe.optimizer")
    silent = Study.load(study_file())
    assert silent.varies == ("model.name",)
    assert study_rows(silent, asked, tmp_path, {}).varies is None


def test_rows_with_the_same_science_share_their_runs(study_file: Write) -> None:
    same = [{"model": "resnet_nano", "name": name} for name in ("a", "b")]
    other = {"model": "resnet_nano", "name": "c", "set": {"recipe.optimizer.lr": 0.1}}
    rows = Study.load(study_file(models=None, baseline=None, rows=[*same, other])).planned_rows()
    assert [row.home for row in rows] == ["a", "a", "c"]


def test_only_some_rows_with_what_they_start_from(study_file: Write) -> None:
    path = study_file(rows=[{"model": "resnet_nano", "name": "second", "after": "vit_mini"}])
    assert [row.name for row in Study.load(path).planned_rows(only=["sec*"])] == ["vit_mini", "second"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": ["vit_mini", "vit_mini"]}, ["'vit_mini'", "twice"]),
        ({"models": ["vit_*", "vit_mini"]}, ["'vit_mini'", "twice"]),
        ({"models": None, "rows": [{"model": "vit_mini"}, {"model": "vit_mini"}]}, ["'vit_mini'", "twice"]),
        ({"models": ["vit_minni"]}, ["vit_minni", "did you mean 'vit_mini'"]),
        ({"models": ["no_such_*"]}, ["no_such_*", "matches no model"]),
        ({"models": None}, ["no rows"]),
        ({"baselin": "x"}, ["unknown key 'baselin'", "did you mean 'baseline'"]),
        ({"baseline": "vit_mimi"}, ["vit_mimi", "did you mean 'vit_mini'"]),
        ({"recipes": "cpu-fst"}, ["unknown recipe 'cpu-fst'"]),
        ({"set": {"recipe.optimizer.lrr": 1}}, ["recipe.optimizer.lrr", "did you mean 'lr'"]),
        ({"set": {"recipe.optimizer.lr": -1}}, ["recipe.optimizer.lr", "greater than 0"]),
        ({"set": {"budget.epochs": 0}}, ["budget.epochs", "greater than 0"]),
        ({"varies": "recipe.optimizer.lrr"}, ["varies", "no key of a run", "did you mean 'recipe.optimizer.lr'"]),
        ({"seeds": [1, 1]}, ["seed 1", "twice"]),
        ({"seeds": 0}, ["seeds is empty"]),
        ({"data": None}, ["no data"]),
        ({"scales": {"cpu": {"groups": {"x": {}}}}}, ["'x'"]),
        ({"scales": {"full": {"rows": {"x": {}}}}}, ["'x'"]),
        ({"rows": [{"model": "vit_mini", "name": "a/b"}]}, ["a/b", "folder"]),
        ({"rows": [{"model": "vit_mini", "name": "a", "after": "b"}]}, ["unknown row", "'b'"]),
    ],
)
def test_what_is_refused(study_file: Write, changes: dict[str, Any], words: list[str]) -> None:
    if "models" in changes or "data" in changes:
        changes = {"baseline": None, **changes}
    with pytest.raises(UserError) as caught:
        Study.load(study_file(**changes)).plan()
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert len(message.splitlines()) <= 3


def test_a_row_that_starts_after_itself(study_file: Write) -> None:
    rows = [{"model": "vit_mini", "name": "a", "after": "b"}, {"model": "vit_mini", "name": "b", "after": "a"}]
    with pytest.raises(UserError, match="after itself"):
        Study.load(study_file(models=None, baseline=None, rows=rows)).plan()


def test_unknown_study_and_scale(study_file: Write) -> None:
    with pytest.raises(UserError, match="did you mean 'quickstart'"):
        Study.load("quickstrat")
    with pytest.raises(UserError, match="unknown scale of study tiny 'cpuu'"):
        Study.load(study_file(scales={"cpu": {}})).plan("cpuu")


def test_a_file_that_does_not_parse(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("models: [a\nb: {")
    with pytest.raises(UserError, match=r"bad\.yaml does not parse as YAML at line 2"):
        Study.load(tmp_path / "bad.yaml")


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (0, 1, 2)), ("0,4,7", (0, 4, 7)), ("5-8", (5, 6, 7, 8)), ("1,3-4", (1, 3, 4))]
)
def test_seeds_on_the_command_line(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "x", "1,1", "4-2", "-1", "10001", "7-99999999999999999999", "9" * 30])
def test_seeds_that_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--seeds"):
        parse_seeds(text)


@pytest.mark.parametrize(
    "name", ["a b", "sweep", "Sweep", "analysis", "study.json", "report.html", "CON", "nul.1", "a.", "a" * 101]
)
def test_rows_are_called_what_a_folder_can_be_on_any_system(name: str, study_file: Write) -> None:
    """And not as what a study's folder holds beside them: `study rm` would take a row `sweep` for trials."""
    path = study_file(models=None, baseline=None, rows=[{"model": "resnet_nano", "name": name}])
    with pytest.raises(UserError, match=r"cannot be a folder's name"):
        Study.load(path).planned_rows()


def test_rows_do_not_differ_in_case_alone(study_file: Write) -> None:
    """macOS and Windows give both one folder, where each row takes the runs of the other for stale."""
    path = study_file(models=["resnet_nano"], baseline=None, rows=[{"model": "vit_mini", "name": "Resnet_Nano"}])
    with pytest.raises(UserError, match="Resnet_Nano"):
        Study.load(path).planned_rows()


def test_a_data_sets_path_makes_one_folder_of_a_row_on_any_system(study_file: Write) -> None:
    path = study_file(data=["digits", {"name": r"folder:C:\images\birds"}], baseline=None, models=["resnet_nano"])
    assert [row.name for row in Study.load(path).planned_rows()][1] == "resnet_nano-folder-C--images-birds"
