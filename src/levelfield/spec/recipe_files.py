"""Recipes by name: the YAML files that ship with the package, or one's own file.

A file holds a recipe's keys and, beside them, `budget` (its stated length), `extends` (a recipe whose keys it changes)
and `variants` (named changes): `rexnet-sgd+cutmix` is the recipe `rexnet-sgd` with its variant `cutmix`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from levelfield.errors import unknown
from levelfield.spec.yaml_files import parse_yaml, read_yaml


def list_recipes() -> list[str]:
    """Names of the recipes that ship with the package."""
    folder = resources.files("levelfield.recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def recipe_variants(name: str) -> list[str]:
    """Names of the variants of the shipped recipe `name`, as in `name+variant`."""
    return sorted(_resolve(name)[1])


def read_recipe(name: str) -> dict[str, Any]:
    """The keys of a recipe by name, with variants (`name+variant+variant`), or of a .yaml file, `budget` among them.

    Raises UserError for an unknown name or variant and for an unreadable file; what the keys are is not looked at.
    """
    base, *chosen = [name] if _is_file(name) else name.split("+")
    values, variants = _resolve(base)
    for variant in chosen:
        if variant not in variants:
            raise unknown(f"variant of recipe {base!r}", variant, variants)
        values = merge(values, variants[variant])
    values.setdefault("name", Path(name).stem if _is_file(name) else name)
    if chosen:
        values["name"] = name
    return values


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
