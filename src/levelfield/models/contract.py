"""What every network here honours, in timm's own names, and the two questions that training and analysis ask of any.

A model maps (B, 3, H, W) float to (B, classes). The built-in ones also have `forward_features -> (B, C, h, w)` or
`(B, N, C)`, `forward_head`, `reset_classifier(n)`, `no_weight_decay()`, `set_grad_checkpointing()` and `stages()`. A
user's own model may have none of these: the functions below then fall back to what the parameters themselves say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor, nn

from levelfield.errors import UserError
from levelfield.models.gradient_checkpointing import recompute

_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.LocalResponseNorm,
)
_UNDECAYED_NAME = re.compile(
    r"(^|\.)(pos_embed|position|cls_token|class_token|dist_token|reg_token|mask_token|layer_scale|gamma(_\d)?|ls\d?"
    r"|relative_position_bias_table|logit_scale|temperature)(\.|_|$)"
)


class Network(nn.Module):
    """Base of the built-in families: the classifier is `head`, features are pooled by `pool`."""

    head: nn.Module
    num_features: int
    num_classes: int

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to the last map (B, C, h, w), or tokens (B, N, C), before pooling."""
        raise NotImplementedError(f"{type(self).__name__} must define forward_features")

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The output of `forward_features` to logits (B, classes); with `pre_logits` the pooled features (B, C)."""
        raise NotImplementedError(f"{type(self).__name__} must define forward_head")

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a fresh linear layer with `num_classes` outputs."""
        device = next(self.parameters()).device
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes, device=device)

    def get_classifier(self) -> nn.Module:
        return self.head

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are neither biases nor norms and yet must not decay."""
        return set()

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep the inputs of blocks only, in training, and compute them again in the backward pass."""
        checkpoint_gradients(self, enable)

    def stages(self) -> dict[str, nn.Module]:
        """Dotted name to module, in the order of the forward pass: the stem first, the classifier left out."""
        raise NotImplementedError(f"{type(self).__name__} must define stages")


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


def checkpoint_gradients(model: nn.Module, enable: bool = True) -> None:
    """Trade time for memory in training: `blocks(model)` keep their inputs only and are computed again backwards.

    Exact for every network (`levelfield.models.gradient_checkpointing`). Raises UserError for one without blocks.
    """
    parts = blocks(model)
    if enable and not parts:
        raise UserError(
            f"{type(model).__name__} has no blocks whose inputs could be kept in place of all that they compute\n"
            "leave execution.gradient_checkpointing off for it, or build it of modules that hold several layers"
        )
    recompute(parts.values(), enable)


def stage_of_parameters(model: nn.Module) -> dict[str, int]:
    """Each parameter's depth for layer-wise decay: 0 is the stem, then the stages, the last number is the classifier's.

    A parameter outside every stage (a downsample, a class token) has the depth of the stage that follows it in the
    order of registration; `downsamples.i`, registered after all stages, belongs to stage i + 1.
    """
    order = list(stages(model))
    head_depth = len(order)
    head = classifier_name(model)
    depths: dict[str, int] = {}
    seen = 0
    last = len(order) - 1
    for name, _ in model.named_parameters():
        inside = [depth for depth, stage in enumerate(order) if name.startswith(stage + ".")]
        downsample = re.match(r"downsamples\.(\d+)\.", name)
        if head is not None and name.startswith(head + "."):
            depths[name] = head_depth
        elif inside:
            depths[name] = seen = inside[-1]
        elif downsample:
            depths[name] = order.index(f"levels.{int(downsample[1]) + 1}")
        elif not depths:
            depths[name] = 0
        else:
            depths[name] = head_depth if seen == last else seen
    return depths


def no_weight_decay(model: nn.Module) -> set[str]:
    """Names of all parameters of `model` that weight decay must leave alone.

    Biases, norms, every parameter of one dimension, layer scales (C, 1, 1), class tokens, position tables, and what the
    model itself names.
    """
    own = getattr(model, "no_weight_decay", None)
    named = set(own()) if callable(own) else set()
    in_norms = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if isinstance(module, _NORMS)
        for name, _ in module.named_parameters(recurse=False)
    }
    return {
        name
        for name, parameter in model.named_parameters()
        if name in named or name in in_norms or _is_scale(parameter) or _UNDECAYED_NAME.search(name)
    }


def _is_scale(parameter: Tensor) -> bool:
    """One dimension, or (C, 1, 1) and the like: at most one axis is longer than 1."""
    return sum(length > 1 for length in parameter.shape) <= 1 and parameter.ndim != 4


def classifier_name(model: nn.Module) -> str | None:
    """The dotted name of the classifier: timm's `get_classifier`, else the last linear layer."""
    get = getattr(model, "get_classifier", None)
    wanted = get() if callable(get) else None
    if isinstance(wanted, nn.Module):
        return _first((name for name, module in model.named_modules() if module is wanted), None)
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None


def _first(names: Iterable[str], default: str | None) -> str | None:
    return next(iter(names), default)
