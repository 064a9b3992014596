"""In which keys values differ, whatever keys they have: the audit's way of forgetting none.

Values of one class are compared field by field, so that a field that is added later is compared too. Where they are of
different classes (one augmentation policy and another) the whole values stand against each other, each by its kind and
what it sets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import to_jsonable_python

from levelfield.spec import Value

ABSENT: Final = "not recorded"
HEX: Final = re.compile(r"[0-9a-f]{32,}")
"""Digests and checksums: their first characters tell them apart."""
SHORT: Final = 10

Contrast = dict[str, dict[str, str]]
"""Key -> row -> the row's value in words, for the keys in which rows differ."""


def contrast(values: Mapping[str, Any], key: str = "") -> Contrast:
    """The keys at or below `key` in which the rows' `values` differ."""
    items = list(values.values())
    if not items or all(item == items[0] for item in items[1:]):
        return {}
    first = items[0]
    if isinstance(first, Value) and all(type(item) is type(first) for item in items):
        inside = {row: dict(value) for row, value in values.items()}
    elif all(isinstance(item, Mapping) for item in items):
        inside = dict(values)
    elif all(isinstance(item, tuple) and len(item) == len(first) for item in items) and isinstance(first[0], Value):
        inside = {row: dict(enumerate(value)) for row, value in values.items()}
    else:
        return {key: distinct_words(values)}
    found: Contrast = {}
    for name in dict.fromkeys(name for parts in inside.values() for name in parts):
        parts = {row: parts.get(name, ABSENT) for row, parts in inside.items()}
        found |= contrast(parts, f"{key}.{name}".lstrip("."))
    return found


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one level of dotted keys."""
    found: dict[str, Any] = {}
    for key, part in value.items():
        found |= flat(part, f"{prefix}{key}.") if isinstance(part, Mapping) and part else {f"{prefix}{key}": part}
    return found


def distinct_words(values: Mapping[str, Any]) -> dict[str, str]:
    """Each value in words; in full where the short words of different values are the same."""
    short = {row: words(value) for row, value in values.items()}
    exact = {row: _exact(value) for row, value in values.items()}
    pairs = set(zip(short.values(), exact.values(), strict=True))
    return short if len(pairs) == len({said for said, _ in pairs}) else exact


def words(value: Any) -> str:
    """A value as a reader knows it: a kind with what it sets, a number, a list."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return value[:SHORT] if HEX.fullmatch(value) else value or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {words(part)}" for key, part in value.items()) or "none"
    if isinstance(value, (tuple, list)):
        return ("; " if value and isinstance(value[0], Value) else ", ").join(map(words, value)) or "none"
    if isinstance(value, Value):
        return _kind(value)
    return str(value)


def _kind(value: Value) -> str:
    """A value by its kind (`name`) and the fields that are not at their default, digests left out."""
    fields = type(value).model_fields
    changed = {
        name: getattr(value, name)
        for name, field in fields.items()
        if name != "name"
        and (part := getattr(value, name)) != field.get_default(call_default_factory=True)
        and not (isinstance(part, str) and HEX.fullmatch(part))
    }
    inside = ", ".join(
        f"{name} ({words(part)})" if isinstance(part, (Value, Mapping)) else f"{name} {words(part)}"
        for name, part in changed.items()
    )
    if "name" in fields:
        kind = str(getattr(value, "name"))  # noqa: B009
        return f"{kind} ({inside})" if inside else kind
    return inside or "defaults"


def _exact(value: Any) -> str:
    return json.dumps(to_jsonable_python(value, fallback=str), sort_keys=True, ensure_ascii=False)
