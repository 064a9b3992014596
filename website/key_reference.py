"""The reference of every key of recipes, runs and studies, from the values that they are read into."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from levelfield.spec import RunSpec
from levelfield.spec.key_descriptions import descriptions
from levelfield.spec.recipe import Recipe
from levelfield.spec.values import models_in
from levelfield.studies.declared.study import StudySpec

SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("Recipe", "recipe", Recipe),
    ("Run", "", RunSpec),
    ("Study", "", StudySpec),
)


def keys() -> str:
    """Markdown: a table of keys for every value of a recipe, a run and a study; each value once."""
    lines: list[str] = []
    seen: set[type[BaseModel]] = set()
    for title, path, root in SECTIONS:
        lines += [f"## {title}", ""]
        for where, cls in values(path, root):
            if cls not in seen:
                seen.add(cls)
                lines += _table(where, cls)
    return "\n".join(lines)


def values(path: str, root: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """`root` and every value below it, with its dotted path; a kind of several says which by its name."""
    yield path, root
    for name, field in root.model_fields.items():
        below = list(dict.fromkeys(models_in(field.annotation)))
        several = [cls for cls in below if "name" in cls.model_fields and _literal(cls.model_fields["name"])]
        for cls in below:
            where = f"{path}.{name}" if path else name
            if cls in several and len(several) > 1:
                where += f", name: {cls.model_fields['name'].default}"
            yield from values(where.lstrip("."), cls)


def _table(where: str, cls: type[BaseModel]) -> list[str]:
    said = descriptions(cls)
    prose = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
    lines = [f"### `{where}`" if where else f"### The {'study' if cls is StudySpec else 'run'}", "", prose, ""]
    lines += ["| key | type | default | unit | what it does |", "|---|---|---|---|---|"]
    for name, field in cls.model_fields.items():
        cells = (f"`{name}`", kind(field), default(field), said[name].unit, said[name].text)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def kind(field: FieldInfo) -> str:
    """The type of a field and its bounds, for a reader of YAML."""
    bounds = [bound for part in _metadata(field) if (bound := _bound(part))]
    return ", ".join([_type(field.annotation), *dict.fromkeys(bounds)])


def default(field: FieldInfo) -> str:
    """The default as YAML has it; of a value with keys of its own the kind, or that its own table has them."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        stated = value.model_dump(mode="json", exclude_defaults=True)
        name = getattr(value, "name", None)
        return f"`{name}`" if isinstance(name, str) and not stated and name != "unnamed" else "as below"
    plain = list(value) if isinstance(value, tuple) else value
    return f"`{json.dumps(plain, ensure_ascii=False)}`"


def _type(annotation: Any) -> str:
    parts = getattr(annotation, "__args__", ())
    origin = getattr(annotation, "__origin__", None)
    if annotation is None or annotation is type(None):
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys"
    if str(origin) == "typing.Literal":
        return ", ".join(f"`{part}`" for part in parts)
    if origin is tuple:
        many = [_type(part) for part in parts if part is not Ellipsis]
        return f"list of {many[0]}" if Ellipsis in parts else f"{len(many)} x {many[0]}"
    if origin is dict:
        return "mapping"
    if hasattr(annotation, "__metadata__"):
        return _type(annotation.__origin__)
    if parts:
        return " or ".join(dict.fromkeys(_type(part) for part in parts))
    return {bool: "true, false", int: "whole number", float: "number", str: "text"}.get(annotation, "any")


def _metadata(field: FieldInfo) -> list[Any]:
    inner = [part for each in getattr(field.annotation, "__args__", ()) for part in getattr(each, "__metadata__", ())]
    return [*field.metadata, *inner]


def _bound(part: Any) -> str:
    for cls, sign, name in ((Gt, ">", "gt"), (Ge, "≥", "ge"), (Lt, "<", "lt"), (Le, "≤", "le")):
        if isinstance(part, cls):
            return f"{sign} {getattr(part, name):g}"
    constraints = getattr(part, "metadata", None)
    return ", ".join(filter(None, map(_bound, constraints))) if constraints else ""


def _literal(field: FieldInfo) -> bool:
    return str(getattr(field.annotation, "__origin__", "")) == "typing.Literal"
