"""Reading a network's ranks: which layers are bottlenecks, and what to do about each.

The rules of arXiv 2007.00992: do not ask one layer for many new channels (a low d_in / d_out), prefer several
layers that each widen a little, and follow a widening layer by a smooth non-linearity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from levelfield.analysis.feature_ranks.network_rank import LayerRank

LOW_SHARE: Final = 0.9
"""A layer whose rank / d_out is below this does not fill its width."""
LOW_RATIO: Final = 0.5
"""A layer with d_in / d_out of at most this widens twofold or more."""


@dataclass(frozen=True)
class Advice:
    """One bottleneck: the layer, what is wrong (one line), and what may help."""

    layer: str
    finding: str
    remedy: str
    unused: int
    """d_out - rank, channels."""


@dataclass(frozen=True)
class Summary:
    """A network in a line, over the judged layers. `filled` and `effective`: means of rank and effective rank / d_out.

    `lost`: directions lost in all; `final`: the last feature map.
    """

    layers: int
    judged: int
    filled: float
    effective: float
    bottlenecks: int
    lost: int
    final_name: str
    final_rank: int
    final_width: int
    final_nuclear_norm: float


def bottlenecks(layers: Sequence[LayerRank]) -> list[Advice]:
    """The layers that do not fill their width or drop directions that came in, worst (most unused channels) first."""
    found = [_advice(layer) for layer in layers if layer.judged and is_bottleneck(layer)]
    return sorted(found, key=lambda advice: -advice.unused)


def is_bottleneck(layer: LayerRank) -> bool:
    return layer.share < LOW_SHARE


def _advice(layer: LayerRank) -> Advice:
    filled = f"{layer.d_in} -> {layer.d_out} channels (d_in/d_out {layer.ratio:.2f}), rank {layer.rank}"
    filled += f" = {100 * layer.share:.0f} % of its width"
    if layer.lost:
        filled += f", {layer.lost} of the {layer.input_rank} directions that came in are lost"
    if layer.ratio <= LOW_RATIO:
        remedy = f"widen its input or give it fewer channels: about {layer.rank} carry all that it has"
    elif layer.lost:
        remedy = "the layer drops what it is given: another non-linearity, or none, after it"
    else:
        remedy = f"its input has only {layer.input_rank} directions: the loss is further up"
    return Advice(layer.name, filled, remedy, layer.d_out - layer.rank)


def summarise(layers: Sequence[LayerRank]) -> Summary:
    """The whole network in a line. Where no layer had positions enough, all are counted."""
    judged = [layer for layer in layers if layer.judged]
    shown = judged or list(layers)
    final = shown[-1]
    return Summary(
        layers=len(layers),
        judged=len(judged),
        filled=sum(layer.share for layer in shown) / len(shown),
        effective=sum(layer.effective_rank / layer.d_out for layer in shown) / len(shown),
        bottlenecks=sum(is_bottleneck(layer) for layer in judged),
        lost=sum(layer.lost for layer in judged),
        final_name=final.name,
        final_rank=final.rank,
        final_width=final.d_out,
        final_nuclear_norm=final.nuclear_norm,
    )
