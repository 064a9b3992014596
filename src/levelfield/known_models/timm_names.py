"""The names of timm's models, read in its source files: to import timm takes longer than to import torch."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from levelfield.errors import UserError

_MODEL: Final = re.compile(r"^@register_model\s*\n(?:[@#].*\n)*def (\w+)", re.MULTILINE)
_RENAMED: Final = re.compile(r"^register_model_deprecations\(__name__, (\{.*?\})\)", re.MULTILINE | re.DOTALL)


class TimmNames(NamedTuple):
    """`models`: those that timm lists, in its order. `renamed`: old names, which timm still takes."""

    models: tuple[str, ...]
    renamed: frozenset[str]


def _timm() -> ModuleSpec | None:
    try:
        return find_spec("timm")
    except ModuleNotFoundError:
        return None


def no_timm() -> UserError | None:
    """The error for a name of timm's where timm is not installed; None where it is."""
    if _timm() is not None:
        return None
    return UserError("timm is not installed here, so that none of its models is known\npip install timm")


@cache
def _names() -> TimmNames:
    timm = _timm()
    if timm is None or timm.origin is None:
        return TimmNames((), frozenset())
    models, renamed = set[str](), set[str]()
    for file in (Path(timm.origin).parent / "models").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        models.update(_MODEL.findall(text))
        for mapping in _RENAMED.findall(text):
            renamed.update(ast.literal_eval(mapping))
    return TimmNames(tuple(sorted(models, key=_by_number)), frozenset(renamed))


def timm_names() -> tuple[str, ...]:
    """The models that `timm.list_models()` lists, in its order; none where timm is not installed."""
    return _names().models


def is_timm_name(name: str) -> bool:
    """Whether timm has a model `name`, a tag of weights after a dot left aside."""
    name = name.partition(".")[0]
    return name in _names().renamed or name in set(_names().models)


def _by_number(name: str) -> list[int | str]:
    """The key by which timm sorts: resnet18 before resnet101."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name.lower())]
