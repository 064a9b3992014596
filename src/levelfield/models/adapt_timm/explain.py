"""How a model is built at a size: what was changed and why, the maps from stage to stage, what works on nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from levelfield.known_models import TIMM
from levelfield.models.adapt_timm.find_downsampling import image_of
from levelfield.models.adapt_timm.remove_downsampling import Change
from levelfield.models.idle_operators import Degenerate, degenerate_operators
from levelfield.models.network_parts import stages
from levelfield.models.registry import create_model, model_info
from levelfield.models.watch_calls import watching
from levelfield.module_mode import evaluation_mode


@dataclass(frozen=True)
class Explanation:
    """`changes` to timm's model (none for a built-in one) and `maps`: stage name and its output's shape, in order.

    `note`: what is known to be wrong with it; `degenerate`: the operators that have nothing to work on at this size.
    """

    name: str
    image_size: int
    changes: tuple[Change, ...]
    maps: tuple[tuple[str, str], ...]
    note: str
    degenerate: tuple[Degenerate, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "maps": [{"stage": stage, "output": shape} for stage, shape in self.maps]}


def explain(name: str, num_classes: int | None = None, image_size: int | None = None, **options: Any) -> Explanation:
    """Build `name` as `create_model` would and say how. Raises UserError as that does."""
    info = model_info(name)
    side_px = image_size or info.image_size
    changes: list[Change] = []
    if name.startswith(TIMM):
        from levelfield.models.adapt_timm.timm_models import fit_timm

        model, changes = fit_timm(name.removeprefix(TIMM), num_classes or info.num_classes, side_px, **options)
    else:
        model = create_model(name, num_classes, image_size, **options)
    found = tuple(degenerate_operators(model, side_px))
    return Explanation(name, side_px, tuple(changes), tuple(stage_maps(model, side_px)), info.note, found)


def stage_maps(model: nn.Module, image_size: int) -> list[tuple[str, str]]:
    """Each stage's name and the shape of its output for one image, in the order of the forward pass."""
    seen: dict[str, str] = {}
    names = {module: name for name, module in stages(model).items()}

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, (tuple, list)):
            output = next((part for part in output if isinstance(part, Tensor)), None)
        if isinstance(output, Tensor):
            seen[names[module]] = _words(output)

    with evaluation_mode(model), watching(names, note), torch.no_grad():
        model(image_of(model, image_size))
    return list(seen.items())


def _words(output: Tensor) -> str:
    """`(1, C, h, w)` or `(1, h, w, C)` or `(1, N, C)` in words."""
    shape = tuple(output.shape[1:])
    if len(shape) == 3 and shape[0] == shape[1] and shape[1] != shape[2]:
        return f"{shape[0]}x{shape[1]} map, {shape[2]} channels"
    if len(shape) == 3:
        return f"{shape[1]}x{shape[2]} map, {shape[0]} channels"
    if len(shape) == 2:
        return f"{shape[0]} tokens, {shape[1]} channels"
    return "x".join(str(length) for length in shape)
