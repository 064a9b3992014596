"""Recipes by name: every shipped one loads, variants and `extends` change what they name and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from levelfield.errors import UserError
from levelfield.spec import Recipe, list_recipes, load_recipe
from levelfield.spec.recipe_files import merge, recipe_variants
from levelfield.spec.yaml_files import parse_yaml


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_load_with_their_length_and_story(name: str) -> None:
    stated = load_recipe(name)
    assert stated.recipe.name == name
    assert stated.budget is not None
    assert len(stated.recipe.description) > 80


@pytest.mark.parametrize("name", [f"{recipe}+{v}" for recipe in list_recipes() for v in recipe_variants(recipe)])
def test_variants_change_their_recipe(name: str) -> None:
    changed, base = Recipe.load(name), Recipe.load(name.partition("+")[0])
    exclude = {"name", "description"}
    assert changed.model_dump(exclude=exclude) != base.model_dump(exclude=exclude)


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: " + "[" * 5000 + "]" * 5000])
def test_what_holds_itself_or_is_too_deep_is_told(text: str) -> None:
    with pytest.raises(UserError, match=r"^mine\.yaml is nested too deeply, or holds itself by an alias"):
        parse_yaml(text, "mine.yaml")


def test_unknown_recipe_and_variant_offer_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'cpu-fast'"):
        load_recipe("cpu-fats")
    with pytest.raises(UserError, match="variant"):
        load_recipe("cpu-fast+nothing")


def test_own_file_extends_a_shipped_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: cpu-fast\nbatch_size: 7\nbudget: {steps: 3}\n")
    stated = load_recipe(str(path))
    assert stated.recipe.batch_size == 7
    assert stated.recipe.optimizer == Recipe.load("cpu-fast").optimizer
    assert stated.budget is not None and stated.budget.steps == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [1", "does not parse as YAML"), ("- 1\n- 2\n", "mapping"), ("batch_sise: 3\n", "batch_size")],
)
def test_bad_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        load_recipe(str(path))
    assert "bad.yaml" in str(error.value)


def test_merge_replaces_a_value_of_another_kind_whole() -> None:
    base = {"schedule": {"name": "cosine", "final_lr": 1}, "mix": {"probability": 1.0}, "budget": {"epochs": 1}}
    change = {"schedule": {"name": "step"}, "mix": {"cutmix_alpha": 1.0}, "budget": {"steps": 2}}
    assert merge(base, change) == {
        "schedule": {"name": "step"},
        "mix": {"probability": 1.0, "cutmix_alpha": 1.0},
        "budget": {"steps": 2},
    }
