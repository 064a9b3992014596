"""The base of every value that describes a run: frozen, keyword-only, validated, unknown keys refused."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from levelfield.errors import UserError, nearest

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Value(BaseModel):
    """A frozen, validated value. Unknown keys fail; equal values compare equal."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, ser_json_inf_nan="constants", allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _switches_are_no_numbers(cls, data: Any) -> Any:
        """`data` with true and false as texts where numbers belong: YAML reads yes and on as true, which would count
        as 1, a learning rate of 1 or one epoch; as a text it is refused where it stands."""
        if not isinstance(data, Mapping):
            return data
        return {key: _as_text(value) if _takes_numbers(cls, key) else value for key, value in data.items()}

    @classmethod
    def parse(cls, data: Any, where: str = "") -> Self:
        """Validate `data` (a mapping, as read from YAML). Raises UserError with one line per fault."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise UserError(explain(error, cls, where or cls.__name__, data)) from None

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """A copy with other values at dotted paths (`model.start_from.digest`); they are taken as they are."""
        update: dict[str, Any] = {}
        for path, value in changes.items():
            key, _, rest = path.partition(".")
            update[key] = update.get(key, getattr(self, key)).changed({rest: value}) if rest else value
        return self.model_copy(update=update)


@functools.cache
def _takes_numbers(cls: type[BaseModel], key: Any) -> bool:
    """Whether the key holds numbers, alone or in lists, and nothing that true or false could be."""
    kinds = set(_kinds(cls.model_fields[key].annotation)) if key in cls.model_fields else set()
    return bool(kinds & {int, float}) and not kinds & {bool, Any}


def _as_text(value: Any) -> Any:
    """`value`, with true and false as texts, in lists and mappings too."""
    if isinstance(value, Mapping):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_text(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else value


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of: of `dict[str, tuple[float, ...]] | None` str, float and None's."""
    inner = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    if not inner:
        yield annotation
    for part in inner:
        yield from _kinds(part)


def explain(error: ValidationError, root: type[BaseModel], where: str, data: Any = None) -> str:
    """Pydantic's faults as lines 'where: key: what, value; remedy', with the nearest key for a misspelt one. `data`:
    what was given, by which a single value that stands for a list of one is told from a list."""
    lines = []
    for fault in error.errors(include_url=False):
        path = ".".join(_as_written(fault["loc"], data))
        if fault["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown key {path!r}; {_instead(root, fault['loc'], fault.get('input'))}")
            continue
        if fault["type"] == "union_tag_not_found":
            lines.append(f"{where}: {path}: say which kind it is with its key 'name'")
            continue
        given = fault.get("input")
        message = _said(fault["type"], given) or fault["msg"].removeprefix("Value error, ")
        hidden = given is None or isinstance(given, (dict, list)) or fault["type"] == "missing"
        shown = "" if hidden else f" (got {given!r})"
        lines.append(f"{where}: {path}: {message}{shown}" if path else f"{where}: {message}")
    return "\n".join(lines[:3]) + (f"\n... and {len(lines) - 3} more" if len(lines) > 3 else "")


_EXPECTED: Final = {
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type", "mapping_type"), "should hold keys and values"
    ),
    **dict.fromkeys(("tuple_type", "list_type"), "should be a list"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "should be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "should be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "should be true or false"),
    "string_type": "should be a text",
}
"""By pydantic's kind of fault, what should stand there, in words of a file."""


def _as_written(path: Sequence[int | str], data: Any) -> list[str]:
    """`path` without the number of an item where `data` holds a single value in place of a list."""
    written, here = [], data
    for part in path:
        if isinstance(part, int) and here is not None and not isinstance(here, (list, tuple)):
            continue
        written.append(str(part))
        keys = here if isinstance(here, Mapping) else range(len(here)) if isinstance(here, (list, tuple)) else ()
        if part in keys:
            here = here[part]
    return written


def _said(kind: str, given: Any) -> str | None:
    """What is wrong where pydantic's own words do not say it; None where they do."""
    if given is None and kind in _EXPECTED:
        return f"holds nothing, and {_EXPECTED[kind]}: what belongs to a key stands behind it, or indented below it"
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    bounds = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number")
    if kind in bounds and str(given).lower() == "nan":
        return "NaN is no number"
    return None


def _instead(root: type[BaseModel], path: tuple[int | str, ...], given: object) -> str:
    """What to do about the unknown key that `path` ends on, where `given` stands: the kind of value that has it, its
    place where it is a key of another place, or the nearest key."""
    *place, kind, wrong = ("", *path) if len(path) == 1 else path
    siblings = _models_at(root, place)
    having = [str(_tag(sibling)) for sibling in siblings if str(wrong) in sibling.model_fields]
    if having and kind in map(_tag, siblings):
        whole = ".".join(map(str, place)) + f"={{name: {kind}}}"
        return f"it belongs to {', '.join(having)}: leave it out, or give the whole value: {whole!r}"
    if places := _elsewhere(root, path, given):
        return "its place is " + " or ".join(places)
    keys = {name for cls in _models_at(root, path[:-1]) for name in cls.model_fields}
    close = nearest(str(wrong), keys, 1)
    return f"did you mean {close[0]!r}?" if close else "known keys: " + ", ".join(sorted(keys))


def _models_at(root: type[BaseModel], path: Sequence[int | str]) -> list[type[BaseModel]]:
    """The model classes that `path` leads to from `root` (union members by tag or class name)."""
    here: list[type[BaseModel]] = [root]
    for part in path:
        fields = [cls.model_fields[str(part)] for cls in here if str(part) in cls.model_fields]
        below = [model for field in fields for model in models_in(field.annotation)]
        # Else a list index, or the tag or class name of a union's member, which pydantic adds to the path.
        here = below or [c for c in here if c.__name__ == part or _tag(c) == part] or here
    return here


def _elsewhere(root: type[BaseModel], path: Sequence[int | str], given: object, most: int = 3) -> list[str]:
    """The dotted paths at which a key that was given at `path` stands in `root`, nearest first: those that end on it
    and on what is `given` below it."""
    tail = [str(path[-1])]
    while isinstance(given, Mapping) and given:
        key, given = next(iter(given.items()))
        tail.append(str(key))
    wanted = [*map(str, path[:-1]), *tail]
    found = [place for place in dict.fromkeys(places_of(root)) if place[-len(tail) :] == tuple(tail)]
    distance = {place: len(set(place) ^ set(wanted)) for place in found}
    nearest_ones = [place for place in found if distance[place] == min(distance.values())]
    return [".".join(place) for place in nearest_ones] if len(nearest_ones) <= most else []


def places_of(root: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key at and below `root`; of a list only the list, as its items have numbers."""
    for name, field in root.model_fields.items():
        yield (*above, name)
        if get_origin(field.annotation) is not tuple:
            for model in models_in(field.annotation):
                yield from places_of(model, (*above, name))


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The model classes that a field's annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]


def _tag(cls: type[BaseModel]) -> object:
    field = cls.model_fields.get("name")
    return None if field is None else field.default
