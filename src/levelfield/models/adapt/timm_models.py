"""timm's models by name: looked up, described, built."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn

from levelfield.errors import UserError, unknown
from levelfield.models.layers import DropPath

_TIMM_OPTIONS = {"drop_path": "drop_path_rate", "dropout": "drop_rate"}


def _check_name(name: str) -> None:
    if not timm.is_model(name.split(".")[0]):
        raise unknown("timm model", name, timm.list_models(), "`levelfield models 'timm:*'` lists all")


def timm_setting(name: str) -> tuple[int, int, str]:
    """(classes, image side in px, family) that timm publishes for `name`. Raises UserError for an unknown name."""
    _check_name(name)
    config = timm.get_pretrained_cfg(name)
    classes, side = (1000, 224) if config is None else (config.num_classes, config.input_size[-1])
    return classes or 1000, side, f"timm {timm_file(name)}"


def timm_file(name: str) -> str:
    """The timm source file, without .py, that defines `name`: what the rules call its family."""
    entry = timm.model_entrypoint(name.split(".")[0])
    return str(entry.__module__.rsplit(".", 1)[-1])


def timm_accepts(name: str, option: str) -> bool:
    """Whether timm's `name` can be built with levelfield's `option`."""
    if option == "drop_path_mode":
        option = "drop_path"
    try:
        with torch.device("meta"):
            timm.create_model(name, **{_TIMM_OPTIONS.get(option, option): 0.0})
    except TypeError:
        return False
    return True


def create_timm(name: str, num_classes: int, image_size: int, **options: Any) -> nn.Module:
    """timm's `name` with `drop_path`, `drop_path_mode` and `dropout` in levelfield's names; the rest passes through."""
    _check_name(name)
    mode = options.pop("drop_path_mode", "sample")
    renamed = {_TIMM_OPTIONS.get(option, option): value for option, value in options.items()}
    try:
        model: nn.Module = timm.create_model(name, num_classes=num_classes, **renamed)
    except TypeError as error:
        raise UserError(f"timm model {name!r} refuses its options {sorted(options)}: {error}") from error
    set_drop_path_mode(model, mode)
    return model


def set_drop_path_mode(model: nn.Module, mode: str) -> None:
    """Give timm's stochastic depth the mode `batch` (one draw a batch); `sample` is its own."""
    if mode not in ("sample", "batch"):
        raise UserError(f"drop_path_mode must be 'sample' or 'batch', got {mode!r}")
    if mode == "sample":
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, timm.layers.DropPath):
                setattr(parent, name, DropPath(child.drop_prob, "batch"))
