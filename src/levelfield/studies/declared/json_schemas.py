"""The JSON Schemas of study, recipe and run files, made from the values that read them.

What a file may say beyond its value is added here: a recipe file has `budget`, `extends` and `variants`, a study file
takes its name from the file's, and a run file may name its recipe. Where a file changes what another one states, a
schedule may leave out its kind: so only a run's schema asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from levelfield.spec.budget import Budget
from levelfield.spec.key_descriptions import descriptions
from levelfield.spec.recipe import Recipe
from levelfield.spec.run_parts import RunValues
from levelfield.spec.values import Value, models_in
from levelfield.studies.declared.study import StudySpec

WRITTEN: Final = {"integer": r"^\s*[+-]?\d+\s*$", "number": r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"}
"""A number may be written as text, too: YAML takes 1e-3 for one, and quotes are no mistake."""
DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


class RecipeFileValues(Recipe):
    """How to train, as a recipe's file states it: its keys, its usual length, and what it is made from."""

    budget: Budget | None = None
    """The recipe's stated length, of runs that are given no other."""
    extends: str | None = None
    """The recipe whose keys this file changes."""
    variants: dict[str, dict[str, Any]] = {}
    """Named changes: NAME+VARIANT is the recipe with those of one."""


class RunFileValues(RunValues):
    """One training run, as `levelfield train --config` reads it."""

    recipe: str | Recipe = Recipe()  # type: ignore[assignment]
    """How to train: a recipe by name or file, or its keys."""
    budget: Budget | None = None  # type: ignore[assignment]
    """How long it trains. None: as its recipe states."""


FILES: Final[Mapping[str, tuple[type[BaseModel], str]]] = {
    "study": (StudySpec, "levelfield study"),
    "recipe": (RecipeFileValues, "levelfield recipe"),
    "run": (RunFileValues, "levelfield run"),
}


def make_schema(name: str) -> dict[str, Any]:
    """The schema of the files `name`, one of `FILES`, as plain JSON values."""
    root, title = FILES[name]
    schema = root.model_json_schema(mode="validation")
    for cls in _classes(root):
        place = schema if cls is root else schema.get("$defs", {}).get(cls.__name__)
        if place is not None:
            _describe(place, cls)
    if name == "study":
        schema["required"].remove("name")
    _as_read(schema, tagged=name == "run")
    return {"$schema": DRAFT, "title": title} | {key: value for key, value in schema.items() if key != "title"}


def _classes(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """`root` and every value below it, each once."""
    seen: dict[type[BaseModel], None] = {}
    waiting = [root]
    while waiting:
        cls = waiting.pop()
        if cls not in seen:
            seen[cls] = None
            waiting += [model for field in cls.model_fields.values() for model in models_in(field.annotation)]
    yield from seen


def _describe(place: dict[str, Any], cls: type[BaseModel]) -> None:
    """What each key does, its unit behind; the class's own words are cut to their first paragraph."""
    assert issubclass(cls, Value)
    place["description"] = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
    for key, said in descriptions(cls).items():
        shown = place["properties"][key]
        shown.pop("title", None)
        shown["description"] = f"{said.text} [{said.unit}]" if said.unit else said.text


def _as_read(node: Any, *, tagged: bool) -> None:
    """Let kinds be told apart by their key `name` alone, which must be given where `tagged`; numbers may be texts."""
    if isinstance(node, list):
        for item in node:
            _as_read(item, tagged=tagged)
    elif isinstance(node, dict):
        node.pop("discriminator", None)
        if (pattern := WRITTEN.get(str(node.get("type")))) is not None:
            node |= {"type": [node["type"], "string"], "pattern": pattern}
        if "oneOf" in node:
            node["anyOf"] = node.pop("oneOf")
        kind = node.get("properties", {}).get("name", {})
        if tagged and "const" in kind:
            node["required"] = sorted({*node.get("required", []), "name"})
        for item in node.values():
            _as_read(item, tagged=tagged)
