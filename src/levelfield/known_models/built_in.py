"""The built-in models' facts and counts, as recorded in built_in.json."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, NamedTuple

from levelfield.known_models.model_info import ModelInfo


class BuiltIn(NamedTuple):
    """A built-in model with its parameters, and the multiply-accumulates of one image, at its published setting."""

    info: ModelInfo
    params: int
    macs: int


@cache
def built_in() -> MappingProxyType[str, BuiltIn]:
    """All built-in models by name."""
    text = (resources.files("levelfield.known_models") / "built_in.json").read_text(encoding="utf-8")
    found = {}
    for name, facts in json.loads(text).items():
        options = None if facts["options"] is None else frozenset(facts["options"])
        published = MappingProxyType(facts["published"])
        switches = {switch: tuple(map(_plain, positions)) for switch, positions in facts["switches"].items()}
        setting = facts["num_classes"], facts["image_size"]
        info = ModelInfo(name, facts["family"], *setting, published, options, None, MappingProxyType(switches))
        found[name] = BuiltIn(info, facts["params"], facts["macs"])
    return MappingProxyType(found)


def _plain(position: Any) -> Any:
    """A position of a switch: JSON has lists where Python has tuples."""
    return tuple(position) if isinstance(position, list) else position
