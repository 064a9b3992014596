"""The parts of any network by dotted name: stages, the blocks that repeat, the classifier.

The built-in networks and timm's name theirs. A user's own model may name none: the functions below then fall back to
what its modules and parameters themselves say.
"""

from __future__ import annotations

import re

from torch import nn


def stages(model: nn.Module) -> dict[str, nn.Module]:
    """The named modules of `model` from stem to last stage (dotted names), for a built-in, timm or user's model.

    timm's are those of its `feature_info`; a model with neither lists its children that hold parameters.
    """
    own = getattr(model, "stages", None)
    if callable(own) and not isinstance(own, nn.Module):
        return dict(own())
    modules = dict(model.named_modules())
    names: list[str] = []
    for feature in getattr(model, "feature_info", None) or []:
        name = feature.get("module", "") if isinstance(feature, dict) else ""
        if name in modules and name not in names:
            names.append(name)
    if len(names) < 2:
        head = classifier_name(model)
        names = [
            name
            for name, child in model.named_children()
            if name != head and next(child.parameters(), None) is not None
        ]
    return {name: modules[name] for name in names}


def blocks(model: nn.Module) -> dict[str, nn.Module]:
    """The parts of `model` that repeat, by dotted name: what gradient checkpointing computes again, each by itself.

    timm's are the finest groups of parameters that the network itself names (`group_matcher`); another network's are
    the members of its stages, or of its children where it names no stages. None lies inside another.
    """
    matcher = getattr(model, "group_matcher", None)
    groups = matcher(coarse=False) if callable(matcher) else None
    found = (_matched(model, groups.get("blocks")) if isinstance(groups, dict) else {}) or stages(model)
    found = {key: part for name, module in found.items() for key, part in _members(name, module).items()}
    inside = {name for name in found if any(name.startswith(other + ".") for other in found)}
    return {name: block for name, block in found.items() if name not in inside and _has_layers(block)}


def _matched(model: nn.Module, patterns: str | list[tuple[str, object]] | None) -> dict[str, nn.Module]:
    """The modules whose dotted names are what timm's patterns of a block's parameters match."""
    patterns = [(patterns, None)] if isinstance(patterns, str) else patterns or []
    modules = dict(model.named_modules())
    found: dict[str, nn.Module] = {}
    for name, _ in model.named_parameters():
        match = next((match for pattern, _ in patterns if (match := re.match(pattern, name))), None)
        block = "" if match is None else match.group(0).rstrip(".")
        if block in modules and modules[block] is not model:
            found[block] = modules[block]
    return found


def _members(name: str, module: nn.Module) -> dict[str, nn.Module]:
    """What a stage is a list of, be it the list itself or hold nothing else; a block is its own only member.

    A list of single layers for the most part is a block.
    """
    children = [(key, child) for key, child in module.named_children() if next(child.parameters(), None) is not None]
    if not isinstance(module, (nn.Sequential, nn.ModuleList)):
        listed = len(children) == 1 and isinstance(children[0][1], (nn.Sequential, nn.ModuleList))
        inner = _members(f"{name}.{children[0][0]}", children[0][1]) if listed else {}
        return inner if len(inner) > 1 else {name: module}
    parts = {f"{name}.{key}": child for key, child in children if _has_layers(child)}
    return parts if 2 * len(parts) > len(children) else {name: module}


def _has_layers(module: nn.Module) -> bool:
    """Whether it is called as one and holds more than one layer with parameters."""
    layers = sum(next(part.parameters(recurse=False), None) is not None for part in module.modules())
    return layers > 1 and not isinstance(module, (nn.ModuleList, nn.ModuleDict))


def classifier_name(model: nn.Module) -> str | None:
    """The dotted name of the classifier: timm's `get_classifier`, else the last linear layer."""
    get = getattr(model, "get_classifier", None)
    wanted = get() if callable(get) else None
    if isinstance(wanted, nn.Module):
        return next((name for name, module in model.named_modules() if module is wanted), None)
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None
