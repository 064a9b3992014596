"""A study of networks at several sizes, lengths or shares of the data: who is better at equal cost.

A curve is one network where one factor varies and the others stay: width or depth at the longest training on most
data at the largest image size, epochs and training images of the network as it is (or nearest to it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Final, NamedTuple

from levelfield.statistics.cost_curve import FEWEST_RUNS, CostCurve, cost_curve, interpolation, read_off
from levelfield.statistics.holm import ALPHA
from levelfield.statistics.iso_cost import IsoCost, iso_cost
from levelfield.statistics.pareto import front_shares
from levelfield.statistics.power_law import PowerLaw, extrapolated, power_law
from levelfield.tables.lists_in_words import listed
from levelfield.tables.table import StudyTable, TableRow
from levelfield.units import plain

COSTS: Final = {
    "params": "parameters",
    "macs": "MACs",
    "joules_per_image": "joules per image",
    "images_seen": "images seen",
    "training_images": "training images",
}
"""What is counted or measured of a row, in words."""
FACTORS: Final = {
    "width": ("params", "macs", "joules_per_image"),
    "depth": ("params", "macs", "joules_per_image"),
    "image_size": ("macs", "joules_per_image"),
    "epochs": ("images_seen",),
    "data": ("training_images",),
}
"""What may vary, and over which costs its curves are looked at."""
HELD: Final = {
    "width": "width", "depth": "depth", "image_size": "image size", "epochs": "length", "data": "training images"
}  # fmt: skip
"""A factor of a point, in words."""
BETWEEN: Final = 25
"""Costs at which a band is drawn."""


class Point(NamedTuple):
    """A row as a point of a grid: its factors as declared, of which all but one are equal along a curve. `epochs`: its
    length in whichever unit it has; `data`: training images, infinite for all; `image_size`: in px, 0 where the stored
    size is taken."""

    width: float
    depth: float
    image_size: float
    epochs: float
    data: float


@dataclass(frozen=True)
class Line:
    """One network's curve over a cost: its rows by ascending cost, and its law where there is one.

    `ahead`: top-1 at the extrapolated cost with its interval (cost, value, low, high), only where it was asked for.
    `again`: rows that cost what another one costs, by name with that one's; they are no points of their own.
    """

    name: str
    rows: tuple[TableRow, ...]
    curve: CostCurve
    law: PowerLaw | None
    ahead: tuple[float, float, float, float] | None = None
    again: tuple[tuple[str, str], ...] = ()

    def band(self) -> list[tuple[float, float, float, float]]:
        """(cost, top-1, low, high) between the first and the last cost."""
        u = self.curve.u
        at = [u[0] + (u[-1] - u[0]) * place / (BETWEEN - 1) for place in range(BETWEEN)]
        at = sorted({*(float(x) for x in at), *(float(x) for x in u)})
        import numpy as np

        found = read_off((self.curve, interpolation(u, np.array(at))))
        half = found.half_width(ALPHA)
        return [
            (math.exp(x), *_tops(value, by))
            for x, value, by in zip(at, found.value.tolist(), half.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class OnCost:
    """The curves of one `factor` over one `cost`, and each pair of them at equal cost."""

    factor: str
    cost: str
    lines: tuple[Line, ...]
    pairs: Mapping[tuple[str, str], IsoCost]


@dataclass(frozen=True)
class Front:
    """By row, in how many of 100 draws of the means it is on the front of accuracy against `cost`; dearest last."""

    cost: str
    shares: Mapping[str, float]


@dataclass(frozen=True)
class ScalingOf:
    """What the curves of a study show on one test set (`panel`); `left_out`: why rows are in no curve."""

    panel: str
    on: tuple[OnCost, ...]
    fronts: tuple[Front, ...]
    left_out: tuple[str, ...]


def scaling_of(table: StudyTable) -> list[ScalingOf]:
    """By test set what the study's curves show; none where it declares none or nothing was measured."""
    if not table.study.curves:
        return []
    return [_on_panel(table, panel) for panel in dict.fromkeys(row.panel for row in table.measured)]


def costs_of_row(row: TableRow) -> dict[str, float]:
    """What of COSTS is known of a row."""
    found = {key: row.means[key] for key in ("params", "macs", "joules_per_image") if row.means.get(key)}
    seen, epochs = row.means.get("samples_seen"), row.means.get("epochs_done")
    if seen:
        found["images_seen"] = seen
    if seen and epochs:
        found["training_images"] = seen / epochs
    return found


def _on_panel(table: StudyTable, panel: str) -> ScalingOf:
    held = {name: row for row in table.measured if row.panel == panel for name in row.runs.row.names}
    few = [name for name, row in held.items() if row.n < FEWEST_RUNS]
    missing = [name for rows in table.study.curves.values() for name in rows if name not in held]
    networks = {
        of: [held[name] for name in rows if name in held and name not in few] for of, rows in table.study.curves.items()
    }
    varied = {of: {factor: _along(factor, rows) for factor in FACTORS} for of, rows in networks.items()}
    found = []
    for factor, costs in FACTORS.items():
        lines = {of: along[factor] for of, along in varied.items()}
        over = (_over(factor, cost, lines, table.study.extrapolate) for cost in costs)
        found += [one for one in over if one is not None]
    left = [f"{name}: one run, so that its spread is not known" for name in few]
    left += [f"{name}: without a result" for name in missing]
    left += [
        f"{of}: no two of its rows differ in one of {listed(list(HELD.values()), len(HELD))} alone"
        for of, along in varied.items()
        if len(networks[of]) > 1 and not any(along.values())
    ]
    left += dict.fromkeys(
        f"{name}: as many {COSTS[on.cost]} as {other}"
        for on in found
        for line in on.lines
        for name, other in line.again
    )
    every = {row.name: row for of in networks.values() for row in of}  # a training is listed under several names
    fronts = [one for cost in COSTS if (one := _front(cost, list(every.values()))) is not None]
    return ScalingOf(panel, tuple(found), tuple(fronts), tuple(left))


def _point(row: TableRow) -> Point:
    spec = row.runs.spec
    options = {} if spec is None else spec.model.options
    budget = None if spec is None else spec.budget
    length = 0.0 if budget is None else float(budget.epochs or budget.steps or budget.samples or 0)
    images = math.inf if spec is None or spec.data.train_limit is None else float(spec.data.train_limit)
    side = 0.0 if spec is None else float(spec.data.image_size or spec.model.image_size or 0)
    return Point(float(options.get("width_factor", 1.0)), float(options.get("depth_factor", 1.0)), side, length, images)


def _along(factor: str, rows: Sequence[TableRow]) -> list[TableRow]:
    """The rows of one network in which only `factor` varies, the others as the module says; none where it does not."""
    if not rows:
        return []
    points = {row.name: _point(row) for row in rows}
    best: dict[str, Callable[[float], float]] = {
        "width": lambda value: -max(value, 1 / value), "depth": lambda value: -max(value, 1 / value),
        "image_size": lambda value: value, "epochs": lambda value: value, "data": lambda value: value,
    }  # fmt: skip
    others = [name for name in Point._fields if name != factor]
    kept = {name: max((getattr(point, name) for point in points.values()), key=best[name]) for name in others}
    along = [row for row in rows if all(getattr(points[row.name], name) == kept[name] for name in others)]
    return along if len({getattr(points[row.name], factor) for row in along}) > 1 else []


def _over(
    factor: str, cost: str, networks: Mapping[str, Sequence[TableRow]], extrapolate: float | None
) -> OnCost | None:
    lines = [line for name, rows in networks.items() if (line := _line(name, rows, cost, extrapolate)) is not None]
    if not lines:
        return None
    pairs = list(combinations(lines, 2))
    return OnCost(factor, cost, tuple(lines), {(a.name, b.name): _pair(factor, a, b, len(pairs)) for a, b in pairs})


def _pair(factor: str, a: Line, b: Line, pairs: int) -> IsoCost:
    """`a` against `b` at equal cost; not judged where what does not vary is unequal, as where the longest runs of one
    are not there yet."""
    one, other = (_point(line.rows[0])._asdict() for line in (a, b))
    unlike = [
        f"{words} {_held(one[key])} and {_held(other[key])}"
        for key, words in HELD.items()
        if key != factor and one[key] != other[key]
    ]
    if unlike:
        return IsoCost(math.nan, math.nan, why=f"they were trained at {', '.join(unlike)}")
    return iso_cost(a.curve, b.curve, pairs)


def _held(value: float) -> str:
    return "all" if math.isinf(value) else plain(value)


def _line(name: str, rows: Sequence[TableRow], cost: str, extrapolate: float | None) -> Line | None:
    known: dict[float, TableRow] = {}
    again = []
    for row in rows:
        if (at := costs_of_row(row).get(cost)) is not None and known.setdefault(at, row) is not row:
            again.append((row.name, known[at].name))
    if len(known) < 2:
        return None
    order = sorted(known)
    curve = cost_curve(order, [_scores(known[at]) for at in order])
    ahead = None
    if extrapolate is not None and (found := extrapolated(curve, extrapolate * order[-1])) is not None:
        value, low, high = (100 - min(max(error, 0.0), 100.0) for error in found)
        ahead = (extrapolate * order[-1], value, high, low)
    return Line(name, tuple(known[at] for at in order), curve, power_law(curve), ahead, tuple(again))


def _scores(row: TableRow) -> list[float]:
    return [float(run.result["top1"]) for run in row.runs.finished]


def _tops(log_error: float, half: float) -> tuple[float, float, float]:
    value, low, high = (100 - math.exp(log_error + by) for by in (0.0, half, -half))
    return value, max(low, 0.0), min(high, 100.0)


def _front(cost: str, rows: Sequence[TableRow]) -> Front | None:
    known = sorted((at, row.name, row) for row in rows if (at := costs_of_row(row).get(cost)) is not None)
    if len(known) < 2 or known[0][0] == known[-1][0]:
        return None
    found = [row for *_, row in known]
    means = [sum(_scores(row)) / row.n for row in found]
    errors = [(row.sd or 0.0) / row.n**0.5 for row in found]
    shares = front_shares([at for at, *_ in known], means, errors, [row.n - 1.0 for row in found])
    return Front(cost, dict(zip([row.name for row in found], shares, strict=True)))


def as_json(found: ScalingOf) -> dict[str, Any]:
    """As the table's JSON holds it; costs in their own units, top-1 in percent."""
    return {
        "panel": found.panel,
        "curves": [
            {
                "factor": on.factor,
                "cost": on.cost,
                "networks": [_line_as_json(line) for line in on.lines],
                "pairs": [{"a": a, "b": b, **_pair_as_json(one)} for (a, b), one in on.pairs.items()],
            }
            for on in found.on
        ],
        "fronts": [{"cost": front.cost, "shares": dict(front.shares)} for front in found.fronts],
        "left_out": list(found.left_out),
    }


def _line_as_json(line: Line) -> dict[str, Any]:
    points = [
        {"row": row.name, "cost": cost, "top1": sum(_scores(row)) / row.n, "seeds": row.n}
        for row, cost in zip(line.rows, line.curve.costs, strict=True)
    ]
    ahead = None if line.ahead is None else dict(zip(("cost", "top1", "low", "high"), line.ahead, strict=True))
    return {"name": line.name, "points": points, "law": line.law and asdict(line.law), "extrapolated": ahead}


def _pair_as_json(one: IsoCost) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(one).items()
    } | {
        "ratio": None if math.isnan(one.ratio[0]) else list(one.ratio),
        "better_throughout": one.throughout or None,
    }
