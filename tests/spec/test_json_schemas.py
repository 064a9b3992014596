"""The shipped JSON Schemas are those of the code, take every shipped file, and refuse what the code refuses."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from schemas import text
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.schemas import NAMES, schema_text
from levelfield.spec import RunSpec
from levelfield.spec.recipe import load_recipe
from levelfield.spec.recipe_files import list_recipes
from levelfield.spec.yaml_files import read_yaml
from levelfield.studies.declared.study import StudySpec
from levelfield.studies.declared.study_file import list_studies

ROOT = Path(__file__).parents[2]
PACKAGE = Path(str(resources.files("levelfield")))
RECIPES = [PACKAGE / "recipes" / f"{name}.yaml" for name in list_recipes()]
STUDIES = [PACKAGE / "studies" / "shipped" / f"{name}.yaml" for name in list_studies()]
STUDIES.append(ROOT / "benchmarks" / "overdispersion.yaml")
RUN = {"model": {"name": "resnet_nano"}, "data": {"name": "digits"}, "budget": {"steps": 2}}
STUDY = {"models": ["resnet_nano"], "data": "digits", "recipes": "digits-fast"}


def faults(name: str, value: Any) -> list[str]:
    schema = json.loads(schema_text(name))
    jsonschema.Draft202012Validator.check_schema(schema)
    return [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(schema).iter_errors(value)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_schema_is_made_from_the_code(name: str) -> None:
    assert schema_text(name) == text(name), "python tests/spec/schemas.py"


@pytest.mark.parametrize("path", [*RECIPES, *STUDIES], ids=lambda path: path.stem)
def test_every_file_in_the_repository_fits_its_schema(path: Path) -> None:
    assert faults("recipe" if path in RECIPES else "study", read_yaml(path)) == []


def test_what_a_run_says_of_itself_fits_its_schema() -> None:
    spec = RunSpec.parse({**RUN, "recipe": load_recipe("cpu-fast").recipe.model_dump(mode="json")})
    assert faults("run", spec.model_dump(mode="json")) == []
    assert faults("run", {**RUN, "recipe": "cpu-fast"}) == []


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({"budget": {"epochs": "3"}}, True),
        ({"budget": {"epochs": "1e-1"}}, True),
        ({"data": {"name": "digits", "image_size": "16"}}, True),
        ({"budget": {"steps": "+12 "}}, True),
        ({"budget": {"epochs": "three"}}, False),
        ({"budget": {"steps": "1e"}}, False),
        ({"data": {"name": "digits", "image_size": "16px"}}, False),
    ],
)
def test_a_number_in_quotes_is_one_to_the_schema_and_to_the_program(changes: dict[str, Any], taken: bool) -> None:
    value = {**STUDY, **changes}
    assert (faults("study", value) == []) is taken
    if taken:
        StudySpec.parse({"name": "mine", **value})
    else:
        with pytest.raises(UserError):
            StudySpec.parse({"name": "mine", **value})


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("run", {**RUN, "sed": 1}, "sed"),
        ("run", {**RUN, "recipe": {"optimiser": {}}}, "recipe"),
        ("run", {**RUN, "recipe": {"schedule": {"final_lr": 0.1}}}, "schedule"),
        ("run", {**RUN, "seed": -1}, "-1"),
        ("run", {"data": {"name": "digits"}}, "model"),
        ("recipe", {"optimizer": {"lr": -1}}, "-1"),
        ("recipe", {"precision": "fp23"}, "fp23"),
        ("recipe", {"schedule": {"name": "cosine", "gamma": 0.1}}, "cosine"),
        ("study", {**STUDY, "modles": ["vit_mini"]}, "modles"),
        ("study", {**STUDY, "seeds": "three"}, "three"),
        ("study", {**STUDY, "rows": [{"name": "a"}]}, "model"),
    ],
)
def test_a_schema_refuses_what_the_code_refuses(name: str, value: dict[str, Any], word: str) -> None:
    reader = {"run": RunSpec, "study": StudySpec}.get(name)
    if reader is not None:
        from levelfield.errors import UserError

        with pytest.raises(UserError):
            reader.parse({"name": "s", **value} if name == "study" else value)
    found = faults(name, value)
    assert found and any(word in fault for fault in found), found


@pytest.mark.parametrize(
    "value", [STUDY, {**STUDY, "data": [{"name": "digits"}], "seeds": [1, 5], "models": "vit_mini"}]
)
def test_short_forms_of_a_study_are_taken(value: dict[str, Any]) -> None:
    assert faults("study", value) == []
    StudySpec.parse({"name": "s", **value})


def test_every_key_says_what_it_does() -> None:
    schema = json.loads(schema_text("run"))
    for place in (schema, *schema["$defs"].values()):
        assert all(key.get("description") for key in place.get("properties", {}).values()), place


def test_the_command_prints_them() -> None:
    for name in NAMES:
        done = CliRunner().invoke(app, ["schema", name])
        assert done.exit_code == 0 and done.stdout == schema_text(name)
    assert CliRunner().invoke(app, ["schema", "runs"]).exit_code == 2
