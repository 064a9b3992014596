"""What an optimiser asks of a network's parameters: which must not decay, and how deep each lies."""

from __future__ import annotations

import re

from torch import Tensor, nn

from levelfield.models.network_parts import classifier_name, stages

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)
_UNDECAYED_NAME = re.compile(
    r"(^|\.)(pos_embed|position|cls_token|class_token|dist_token|reg_token|mask_token|layer_scale|gamma(_\d)?|ls\d?"
    r"|relative_position_bias_table|logit_scale|temperature)(\.|_|$)"
)


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
