"""What each key of a value is: the text below its field in the source, with its unit in brackets at the end."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import BaseModel


class Described(NamedTuple):
    """What a key does, in a sentence or two, and the unit of its number; "" where it has none."""

    text: str
    unit: str


def descriptions(cls: type[BaseModel]) -> Mapping[str, Described]:
    """Of every field of `cls` what its source says below it, inherited ones included.

    Reads the source: for schemas and documentation, not for the way of a run. Raises KeyError for a field of which
    nothing is said.
    """
    said: dict[str, Described] = {}
    for base in reversed(cls.__mro__):
        if base is not BaseModel and issubclass(base, BaseModel):
            said |= _below_fields(base)
    return {name: said[name] for name in cls.model_fields}


def _below_fields(cls: type[BaseModel]) -> dict[str, Described]:
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for field, below in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            assert isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
            text, _, unit = " ".join(below.value.value.split()).partition(" [")
            found[field.target.id] = Described(text, unit.removesuffix("]"))
    return found
