"""timm's models by name: looked up, described, fitted to an image size by the rules, built."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn

from levelfield.errors import UserError, unknown
from levelfield.models.adapt_timm.find_downsampling import Trace, trace
from levelfield.models.adapt_timm.initialise_resized_kernels import initialise_as_built
from levelfield.models.adapt_timm.own_layers import with_own_layers
from levelfield.models.adapt_timm.remove_downsampling import CannotRelaxError, Change, relax, resize_patch
from levelfield.models.adapt_timm.size_rules import (
    LEAST_LAST_SIDE,
    WHY_NOT,
    Plan,
    plans,
    restate_sizes,
    window_arguments,
)
from levelfield.models.stochastic_depth import DropPath
from levelfield.without_compiler import import_without_compiler

timm = import_without_compiler("timm")
T = TypeVar("T")
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
    """The timm source file, without .py, that defines `name`."""
    entry = timm.model_entrypoint(name.split(".")[0])
    return str(entry.__module__.rsplit(".", 1)[-1])


def timm_accepts(name: str, option: str) -> bool:
    """Whether timm's `name` can be built with levelfield's `option`."""
    if option == "adapt":
        return True
    if option == "drop_path_mode":
        option = "drop_path"
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            timm.create_model(name, **{_TIMM_OPTIONS.get(option, option): 0.0})
    except TypeError:
        return False
    return True


def fit_timm(
    name: str, num_classes: int, image_size: int, adapt: str = "auto", **options: Any
) -> tuple[nn.Module, list[Change]]:
    """timm's `name` for images of `image_size` px, and what was changed and why.

    `adapt="auto"` fits it by the rules where the size is not its own; `adapt="none"` leaves it as timm has it.
    `options` are levelfield's `drop_path`, `drop_path_mode` and `dropout`; others pass through to timm. Raises
    UserError, in one line with the reason, for what cannot be fitted.
    """
    _check_name(name)
    if adapt not in ("auto", "none"):
        raise UserError(f"adapt must be 'auto' or 'none', got {adapt!r}")
    mode = options.get("drop_path_mode", "sample")
    given = {_TIMM_OPTIONS.get(key, key): value for key, value in options.items() if key != "drop_path_mode"}
    try:
        if adapt == "none" or image_size == timm_setting(name)[1]:
            model = _create(name, {"num_classes": num_classes, **given})
            changes: list[Change] = []
        else:
            model, changes = _fit(name, image_size, {"num_classes": num_classes, **given})
    except TypeError as error:
        raise UserError(f"timm model {name!r} refuses its options {sorted(options)}: {error}") from error
    set_drop_path_mode(model, mode)
    return with_own_layers(model), changes


def _create(name: str, arguments: dict[str, Any]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: nn.Module = timm.create_model(name, **arguments)
    return model


def _fit(name: str, image_size: int, arguments: dict[str, Any]) -> tuple[nn.Module, list[Change]]:
    """Try the plans in order on a twin of shapes alone; build by the first that works."""
    with torch.random.fork_rng(devices=[]):
        native = _on_shapes(lambda: trace(_create(name, arguments), timm_setting(name)[1]))
        takes_size = _takes_size(name, arguments)
        reasons: list[str] = []
        for candidate in plans(native, image_size):
            plan = _complete(name, candidate, native, takes_size)
            try:
                before, after = _rehearse(name, {**arguments, **plan.arguments}, plan, native, image_size)
            except CannotRelaxError as error:
                reasons.append(str(error))
                continue
            except Exception as error:  # a network may fail in any way at a size that it was not written for
                reasons.append((str(error).splitlines() or ["one of its own checks of sizes fails"])[0])
                continue
            if after.last_side >= LEAST_LAST_SIDE and after.logits[-1] == arguments["num_classes"]:
                break
            reasons.append(f"its last map is {after.last_side}x{after.last_side}")
        else:
            why = WHY_NOT.get(timm_file(name), "no change of its first layers gives maps that the rest accepts")
            raise UserError(
                f"timm model {name!r} cannot be fitted to {image_size} px: {why} (last: {reasons[-1][:120]})"
            )
    chosen = {**arguments, **plan.arguments}
    model = _create(name, chosen)
    kernels = {key: module.kernel_size for key, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    changes = _apply(model, plan, before, image_size)
    changed = {
        key: module.kernel_size[0]
        for key, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and kernels.get(key) != module.kernel_size
    }
    return model, changes + initialise_as_built(model, lambda: _create(name, chosen), changed)


def _on_shapes(work: Callable[[], T]) -> T:
    """`work` on the meta device, where nothing is computed; on the CPU for a network that computes with values."""
    try:
        with torch.device("meta"):
            return work()
    except (RuntimeError, TypeError):
        return work()


def _rehearse(name: str, arguments: dict[str, Any], plan: Plan, native: Trace, image_size: int) -> tuple[Trace, Trace]:
    """Traces of a twin built by `plan`, before its first layers are changed and after, the second at `image_size`."""

    def rehearsed() -> tuple[Trace, Trace]:
        twin = _create(name, arguments)
        before = trace(twin, plan.equivalent_side) if "img_size" in plan.arguments else native
        _apply(twin, plan, before, image_size)
        return before, trace(twin, image_size)

    return _on_shapes(rehearsed)


def _apply(model: nn.Module, plan: Plan, before: Trace, image_size: int) -> list[Change]:
    """Change the first layers of `model`, in place, as `plan` says; `before` is its trace or its twin's."""
    changes = list(plan.notes)
    if plan.patch is not None:
        changes.append(resize_patch(model, before.levels[0][0], plan.patch, plan.why))
    elif plan.factor > 1:
        changes += relax(model, before, plan.factor, plan.stem_only, plan.why)
    restate_sizes(model, plan.equivalent_side, image_size)
    return changes


def _takes_size(name: str, arguments: dict[str, Any]) -> bool:
    try:
        _on_shapes(lambda: _create(name, {**arguments, "img_size": timm_setting(name)[1]}))
    except TypeError:
        return False
    return True


def _complete(name: str, plan: Plan, native: Trace, takes_size: bool) -> Plan:
    """Add the constructor's arguments for the plan's equivalent size, and what there is to say of them."""
    if not takes_size:
        return plan
    side = plan.equivalent_side
    maps = []
    here = side // native.levels[0][0].factor if native.levels else 0
    while here >= max(round(side / native.reduction), 1):
        maps.append(here)
        here //= 2
    windows, notes = window_arguments(timm_file(name), name, maps)
    built_for = Change(f"built for {side} px", "its tables and windows then fit the maps that come out")
    return replace(plan, arguments={"img_size": side, **windows}, notes=(built_for, *notes))


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
