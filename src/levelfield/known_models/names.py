"""Which names stand for models: built in, timm's, or registered by the running program or a plugin of the user."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Final

from levelfield.errors import unknown
from levelfield.known_models.built_in import built_in
from levelfield.known_models.model_info import TIMM, ModelInfo
from levelfield.known_models.plugin_path import plugin_file
from levelfield.known_models.timm_names import is_timm_name, no_timm, timm_names

ELSEWHERE: Final = "`levelfield models` lists all; timm's are named timm:<name>; your own: --plugin FILE registers it"
"""The remedy for the name of no model."""
_registered: dict[str, ModelInfo] = {}


def registered(info: ModelInfo) -> None:
    """Let a model be known that was registered in this process."""
    _registered[info.name] = info


def known_model(name: str) -> ModelInfo | None:
    """What is known of a built-in or registered model; None where there is none, and of timm's."""
    if name in _registered:
        return _registered[name]
    return built_in()[name].info if name in built_in() else None


def known_names() -> list[str]:
    """The names of all built-in and registered models, sorted."""
    return sorted({*built_in(), *_registered})


def is_known(name: str) -> bool:
    """Whether `name` stands for a model, timm's (`timm:NAME`) too."""
    return is_timm_name(name.removeprefix(TIMM)) if name.startswith(TIMM) else known_model(name) is not None


def check_name(name: str, plugins: Sequence[str] = ()) -> None:
    """Raise UserError, with the nearest names, where `name` stands for no model, though `plugins` are loaded."""
    if is_known(name):
        return
    if name.startswith(TIMM):
        if (missing := no_timm()) is not None:
            raise missing
        raise unknown("timm model", name.removeprefix(TIMM), timm_names(), "`levelfield models 'timm:*'` lists all")
    told = "\n".join([*(_registers(path, name) for path in plugins)] or [ELSEWHERE])
    raise unknown("model", name, known_names(), told)


def _registers(plugin: str, wanted: str) -> str:
    """What the loaded file `plugin`, asked for the model `wanted`, registers instead."""
    file = plugin_file(plugin)
    if names := sorted(name for name, info in _registered.items() if info.plugin == file):
        return f"{plugin} registers {', '.join(names)}"
    return f"{plugin} registers no model: decorate its network with @levelfield.register_model({wanted!r})"


def matching(pattern: str) -> list[str]:
    """The names that match `pattern` (as fnmatch has it; one that begins with `timm:` matches timm's).

    Raises UserError for timm's where timm is not installed.
    """
    if pattern.startswith(TIMM):
        if (missing := no_timm()) is not None:
            raise missing
        return [TIMM + name for name in fnmatch.filter(timm_names(), pattern.removeprefix(TIMM) or "*")]
    return [name for name in known_names() if fnmatch.fnmatchcase(name, pattern)]
