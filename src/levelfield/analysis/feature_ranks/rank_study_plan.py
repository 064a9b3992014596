"""What the rank study measures: settings, kinds of layer and ratios, and what its sensitivity sweep changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, NamedTuple

import torch
from pydantic import AfterValidator, Field, NonNegativeInt

from levelfield.analysis.feature_ranks.random_networks import KINDS, NONLINEARITIES, Setting
from levelfield.errors import unknown
from levelfield.spec.values import Value

MAIN: Final = "main"
RATIOS: Final = tuple(round(0.1 * step, 1) for step in range(1, 11))
BOTTLENECKS: Final = ("ib_3x3", "ib_3x3dw")


def _one_of(what: str, choices: Iterable[str]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in choices:
            raise unknown(what, name, choices)
        return name

    return AfterValidator(check)


class Group(Value):
    """All curves under one setting: `networks` random networks a point, for each of `kinds`."""

    setting: Setting = Setting()
    networks: Annotated[int, Field(ge=2)] = 1000
    kinds: tuple[Annotated[str, _one_of("kind of layer", KINDS)], ...] = tuple(KINDS)


class Plan(Value):
    """What a study measures. `groups` maps a name to its curves; "main" is what the figure shows."""

    groups: dict[str, Group] = {MAIN: Group()}
    seed: NonNegativeInt = 0
    ratios: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...] = RATIOS
    nonlinearities: tuple[Annotated[str, _one_of("non-linearity", NONLINEARITIES)], ...] = tuple(NONLINEARITIES)

    def points(self) -> list[Point]:
        return [
            Point(name, kind, ratio)
            for name, group in self.groups.items()
            for kind in group.kinds
            for ratio in self.ratios
        ]


class Point(NamedTuple):
    """One abscissa of eight curves."""

    group: str
    kind: str
    ratio: float


def sensitivity(main: Setting, networks: int) -> dict[str, Group]:
    """One group per choice that the paper leaves open: `main` with that choice changed, and nothing else.

    The bottleneck with a dense 3x3 convolution costs more than all else together: it is varied only in what its rank
    hangs on, its expansion and whether a non-linearity comes last.
    The last three combine changes: what a network sees whose BatchNorm is fresh and in evaluation mode (the identity),
    on inputs that are all positive, as pixels and the features after a ReLU are; the last on wider layers too.
    """
    light = tuple(kind for kind in KINDS if kind != "ib_3x3")
    positive = {"normalisation": "none", "inputs": "uniform"}
    unscaled = {**positive, "weights": "unit_normal"}
    changes: Mapping[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
        "widths 4 to 16": ({"d_out_min": 4, "d_out_max": 16}, light),
        "widths 64 to 128": ({"d_out_min": 64, "d_out_max": 128}, light),
        "N = 100": ({"map_side": 10}, light),
        "N = 576": ({"map_side": 24}, light),
        "inputs U[0, 1)": ({"inputs": "uniform"}, light),
        "weights uniform": ({"weights": "torch_uniform"}, light),
        "tolerance of float32": ({"tolerance": 256 * torch.finfo(torch.float32).eps}, light),
        "tolerance 1e-3": ({"tolerance": 1e-3}, light),
        "BatchNorm without epsilon": ({"batch_norm_eps": 0.0}, light),
        "no normalisation": ({"normalisation": "none"}, light),
        "expansion 2": ({"expansion": 2.0}, BOTTLENECKS),
        "expansion 4": ({"expansion": 4.0}, BOTTLENECKS),
        "activation after the bottleneck": ({"final_activation": True}, BOTTLENECKS),
        "no normalisation, inputs U[0, 1)": (positive, light),
        "no normalisation, inputs U[0, 1), weights N(0, 1)": (unscaled, light),
        "the same, widths 16 to 128": ({**unscaled, "d_out_min": 16, "d_out_max": 128}, ("1x1", "3x3")),
    }
    return {
        name: Group(setting=Setting.parse({**main.model_dump(), **change}, name), networks=networks, kinds=kinds)
        for name, (change, kinds) in changes.items()
    }
