"""What is said of the heads of an attention layer over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any


def mean_heads(layers: Sequence[Mapping[str, Any]]) -> list[float]:
    """The mean distance of each seed's nearest head, of its next one, ...; `layers`: one layer of every seed. Heads of
    two networks have nothing in common but their order."""
    return [fmean(values) for values in zip(*(sorted(layer["heads_px"]) for layer in layers), strict=True)]


def images_drawn(answer: Mapping[str, Any]) -> str:
    """How many images attention was read on; where a test set had fewer than were asked for, those."""
    drawn = {run["drawn"] for row in answer["rows"] for run in row["runs"] if "drawn" in run} or {answer["images"]}
    return " or ".join(f"{count:,}" for count in sorted(drawn))
