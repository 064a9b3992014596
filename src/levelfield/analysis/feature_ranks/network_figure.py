"""Figure of networks' ranks: rank / d_out layer by layer, a line a network, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from levelfield.analysis.feature_ranks.networks_to_rank import NetworkRank


def chart(networks: Sequence[NetworkRank]) -> Any:
    """Two panels over the depth of the layers judged: rank / d_out, and the nuclear norm (log scale)."""
    import altair as alt

    values = [
        {
            "network": f"{network.title}, {network.state}",
            "depth": i,
            "share": layer.share,
            "nuclear": layer.nuclear_norm,
        }
        for network in networks
        for i, layer in enumerate(layer for layer in network.layers if layer.judged)
    ]
    base = alt.Chart(alt.Data(values=values)).properties(width=420, height=260)
    x = alt.X("depth:Q", title="layer, in the order of the forward pass")
    colour = alt.Color(
        "network:N", title=None, legend=alt.Legend(orient="bottom", direction="vertical", labelLimit=500)
    )
    panels = [
        base.mark_line(point=True).encode(x=x, y=y, color=colour)
        for y in (
            alt.Y("share:Q", title="rank / d_out", scale=alt.Scale(domain=[0, 1.02], nice=False)),
            alt.Y("nuclear:Q", title="nuclear norm of F / √N", scale=alt.Scale(type="log")),
        )
    ]
    return alt.hconcat(*panels)
