"""The rules by which any timm model is fitted to an image size; `docs/how-to/timm-small-images.md` says them to users.

1. A plain patch transformer takes the largest patch, not above its own, that gives at least 8x8 tokens. 2. A network
whose stem is a patch embedding and that halves its map later takes the patch whose last map is 2x2 or more. 3. Any
other network loses strides and pools from the front until its last map is 4x4, if its stem has them to give, else
   2x2. The stem is told by what the network does (`find_stem.py`), not by names. All reducers that meet the map at the
   same side are changed together: a branch never loses its shortcut.
4. What is built for one size (position tables, windows, grids) is built for the image that would give the same maps
   without the change of patch or stem: the "equivalent size". Windows take the largest side, not above their own, that
   divides every map.
5. A fit counts only if a forward pass at the wanted size gives logits and a last map of 2x2 or more. Otherwise refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from levelfield.models.adapt_timm.find_downsampling import Trace
from levelfield.models.adapt_timm.remove_downsampling import Change, is_patchify

MIN_TOKENS_SIDE = 8
GOOD_LAST_SIDE = 4
LEAST_LAST_SIDE = 2
_WINDOWED_FILES = ("swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr", "davit")
WHY_NOT = {
    "byoanet": "its halo attention takes maps in blocks of 8x8 only",
    "crossvit": "its two branches cut two scales of the image into patches of 12 and 16 px, which must stay in step",
    "efficientformer": "the attention of its last stage is built for a 7x7 map",
    "pit": "its first convolution overlaps without padding: another stride gives a map of an odd side",
    "inception_v4": "its branches of unpadded convolutions no longer give maps of one size",
}
"""timm file to what stands in the way, for those whose smallest model is refused."""


@dataclass(frozen=True)
class Plan:
    """One way to fit a model: what to pass to its constructor, and what to take out of its first layers afterwards.

    `equivalent_side` is the image side that it is built for, `patch` the new patch (None: unchanged), `factor` the
    reduction to take out, from the stem alone or not.
    """

    equivalent_side: int
    patch: int | None = None
    factor: int = 1
    stem_only: bool = True
    why: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    notes: tuple[Change, ...] = ()


def plans(native: Trace, image_size: int) -> Iterator[Plan]:
    """The plans to try for `image_size` px, best first, from the trace at the model's own size."""
    first = native.levels[0] if native.levels else ()
    patchified = len(first) >= 1 and is_patchify(first[0].module) and native.stem > 0
    if patchified:
        patch = first[0].factor
        later = max(round(native.reduction / patch), 1)
        wanted = MIN_TOKENS_SIDE if later == 1 else LEAST_LAST_SIDE * later
        yield from _patch_plans(image_size, patch, wanted, later)
    good, least = (_factor(image_size, native.reduction, side) for side in (GOOD_LAST_SIDE, LEAST_LAST_SIDE))
    why = f"its last map would be {_side(image_size / native.reduction)} at {image_size} px"
    for factor, stem_only in ((good, True), (least, True), (least, False), (2 * least, False), (4 * least, False)):
        yield Plan(image_size * factor, None, factor, stem_only, why)


def _factor(image_size: int, reduction: float, side: int) -> int:
    """The least power of two that has to be taken out for a last map of `side`."""
    factor = 1
    while round(image_size * factor / reduction) < side:
        factor *= 2
    return factor


def _patch_plans(image_size: int, patch: int, wanted: int, later: int) -> Iterator[Plan]:
    """Patches from the largest that gives `wanted` tokens a side down to half of that."""
    for candidate in range(patch, 0, -1):
        tokens, rest = divmod(image_size, candidate)
        if rest or tokens < wanted or tokens % later:
            continue
        why = f"{tokens}x{tokens} tokens at {image_size} px, where patch {patch} gives {_side(image_size / patch)}"
        yield Plan(tokens * patch, candidate if candidate != patch else None, 1, True, why)
        if tokens >= 2 * wanted:
            return


def _side(side: float) -> str:
    return f"{side:.0f}x{side:.0f}" if side >= 1 else "less than 1x1"


def window_arguments(file: str, name: str, map_sides: list[int]) -> tuple[dict[str, Any], tuple[Change, ...]]:
    """The `window_size` of a windowed transformer: the largest, not above its own, that divides every larger map."""
    if file not in _WINDOWED_FILES or not map_sides:
        return {}, ()
    stated = re.search(r"window(\d+)", name)
    own = int(stated[1]) if stated else 7
    window = next(w for w in range(own, 0, -1) if all(side % w == 0 or side <= w for side in map_sides))
    if window == own:
        return {}, ()
    maps = ", ".join(f"{side}x{side}" for side in map_sides)
    return {"window_size": window}, (Change(f"window {own} to {window}", f"it divides the maps {maps}"),)


def restate_sizes(model: nn.Module, equivalent_side: int, image_size: int) -> None:
    """Let the input checks of a model that was built for `equivalent_side` expect `image_size` instead, in place."""
    if equivalent_side == image_size:
        return
    module: Any
    for module in model.modules():
        stated = getattr(module, "img_size", None)
        if stated == (equivalent_side, equivalent_side):
            module.img_size = (image_size, image_size)
        elif stated == equivalent_side:
            module.img_size = image_size
