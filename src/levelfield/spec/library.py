"""Recipes by name: the YAML files that ship with the package, or one's own file.

A file holds a recipe's keys and, beside them, `budget` (its stated length), `extends` (a recipe whose keys it changes)
and `variants` (named changes): `rexnet-sgd+cutmix` is the recipe `rexnet-sgd` with its variant `cutmix`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from levelfield.errors import UserError, unknown
from levelfield.spec.overrides import as_number
from levelfield.spec.recipe import Recipe
from levelfield.spec.run import Budget


@dataclass(frozen=True)
class RecipeFile:
    """A recipe as its file states it: the recipe and its stated length (None where it states none)."""

    recipe: Recipe
    budget: Budget | None


def list_recipes() -> list[str]:
    """Names of the recipes that ship with the package."""
    folder = resources.files("levelfield.recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def recipe_variants(name: str) -> list[str]:
    """Names of the variants of the shipped recipe `name`, as in `name+variant`."""
    return sorted(_resolve(name)[1])


def load_recipe(name: str) -> RecipeFile:
    """Read a recipe by name, with variants (`name+variant+variant`), or from a .yaml file.

    Raises UserError for an unknown name or variant, an unreadable file, an unknown key or a bad value.
    """
    base, *chosen = [name] if _is_file(name) else name.split("+")
    values, variants = _resolve(base)
    for variant in chosen:
        if variant not in variants:
            raise unknown(f"variant of recipe {base!r}", variant, variants)
        values = merge(values, variants[variant])
    budget = values.pop("budget", None)
    values.setdefault("name", Path(name).stem if _is_file(name) else name)
    if chosen:
        values["name"] = name
    length = None if budget is None else Budget.parse(budget, f"recipe {name}: budget")
    return RecipeFile(Recipe.parse(values, f"recipe {name}"), length)


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `change`; mappings are merged key by key unless they name another kind (key `name`)."""
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and key != "budget":
            other_kind = "name" in value and value["name"] != old.get("name")
            result[key] = dict(value) if other_kind else merge(old, value)
        else:
            result[key] = value
    return result


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises UserError naming file and line where it does not parse."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"cannot read {path}: it is not a text file") from None
    return parse_yaml(text, str(path))


def read_mapping(path: Path) -> dict[str, Any]:
    """As `read_yaml`; a file that ends in .json is read as JSON, whose texts stay texts whatever they look like."""
    if path.suffix != ".json":
        return read_yaml(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} must hold keys and values (a JSON object), not {type(value).__name__}")
    return value


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """`text` as a YAML mapping; `where` names it in errors."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        problem = getattr(error, "problem", None) or "not YAML"
        raise UserError(f"{where} does not parse as YAML{line}: {problem}\nmend that line") from None
    if not isinstance(value, dict):
        raise UserError(f"{where} must hold keys and values (a YAML mapping), not {type(value).__name__}")
    result: dict[str, Any] = as_number(value)
    return result


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _resolve(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of a recipe file and its variants, `extends` followed."""
    if _is_file(name):
        values = read_yaml(Path(name))
    else:
        if name not in list_recipes():
            raise unknown("recipe", name, list_recipes(), "or give a file ending in .yaml")
        source = resources.files("levelfield.recipes") / f"{name}.yaml"
        values = parse_yaml(source.read_text(encoding="utf-8"), f"recipe {name}")
    variants: dict[str, Any] = values.pop("variants", None) or {}
    if (base := values.pop("extends", None)) is not None:
        parent, inherited = _resolve(str(base))
        parent.pop("name", None)
        parent.pop("description", None)
        values, variants = merge(parent, values), {**inherited, **variants}
    return values, variants
