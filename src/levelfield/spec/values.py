"""The base of every value that describes a run: frozen, keyword-only, validated, unknown keys refused."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from levelfield.errors import UserError, nearest

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Value(BaseModel):
    """A frozen, validated value. Unknown keys fail; equal values compare equal."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, ser_json_inf_nan="constants")

    @classmethod
    def parse(cls, data: Any, where: str = "") -> Self:
        """Validate `data` (a mapping, as read from YAML). Raises UserError with one line per fault."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise UserError(explain(error, cls, where or cls.__name__)) from None


def explain(error: ValidationError, root: type[BaseModel], where: str) -> str:
    """Pydantic's faults as lines 'where: key: what, value; remedy', with the nearest key for a misspelt one."""
    lines = []
    for fault in error.errors(include_url=False):
        path = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            wrong = str(fault["loc"][-1])
            keys = _keys_at(root, fault["loc"][:-1])
            close = nearest(wrong, keys, 1)
            hint = f"did you mean {close[0]!r}?" if close else "known keys: " + ", ".join(sorted(keys))
            lines.append(f"{where}: unknown key {path!r}; {hint}")
            continue
        if fault["type"] == "union_tag_not_found":
            lines.append(f"{where}: {path}: say which kind it is with its key 'name'")
            continue
        given = fault.get("input")
        message = _said(fault["type"], given) or fault["msg"].removeprefix("Value error, ")
        shown = "" if isinstance(given, (dict, list)) or fault["type"] == "missing" else f" (got {given!r})"
        lines.append(f"{where}: {path}: {message}{shown}" if path else f"{where}: {message}")
    return "\n".join(lines[:3]) + (f"\n... and {len(lines) - 3} more" if len(lines) > 3 else "")


def _said(kind: str, given: Any) -> str | None:
    """What is wrong where pydantic's own words do not say it; None where they do."""
    if kind in ("model_type", "model_attributes_type"):
        return "should hold keys and values"
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal") and str(given).lower() == "nan":
        return "NaN is no number"
    return None


def _keys_at(root: type[BaseModel], path: tuple[int | str, ...]) -> set[str]:
    """The field names of the model class that `path` leads to from `root` (union members by tag or class name)."""
    here: list[type[BaseModel]] = [root]
    for part in path:
        following: list[type[BaseModel]] = []
        for cls in here:
            if str(part) in cls.model_fields:
                following += models_in(cls.model_fields[str(part)].annotation)
        if following:
            here = following
        else:  # a list index, or the tag or class name of a union's member, which pydantic adds to the path
            tagged = [c for c in here if c.__name__ == part or _tag(c) == part]
            here = tagged or here
    return {name for cls in here for name in cls.model_fields}


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The model classes that a field's annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]


def _tag(cls: type[BaseModel]) -> object:
    field = cls.model_fields.get("name")
    return None if field is None else field.default
