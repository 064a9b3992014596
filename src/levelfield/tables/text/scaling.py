"""Curves of accuracy over cost in words: who is better at equal cost, the laws, the front."""

from __future__ import annotations

from typing import Final

from levelfield.statistics.iso_cost import Crossing, IsoCost, Stretch
from levelfield.statistics.power_law import WITH_A_FLOOR, PowerLaw, at_an_end
from levelfield.tables.lists_in_words import listed
from levelfield.tables.number_format import p_value, percent
from levelfield.tables.scaling import COSTS, HELD, Front, Line, OnCost, ScalingOf
from levelfield.units import short

PAIRS: Final = ("at equal", "pair", "over", "errors, a / b", "better")
LAWS: Final = ("over", "network", "exponent", "interval", "law")
BASIS: Final = (
    "At equal cost: log(error) over log(cost) between the costs that were trained, each point with the spread of its "
    "own runs (Welch, Satterthwaite). Who is better from where to where holds at 5 % over all pairs and costs of a "
    "curve; crossings have 95 % intervals, errors the ratio in the middle of the range and its interval."
)
LAWS_BASIS: Final = (
    "Laws: error = scale x (cost / least cost)^-exponent, from five costs on with a floor where it can be told; "
    "intervals over seeds (Student's t), of the law that fits these costs best."
)
FRONT_BASIS: Final = (
    "On the front: no row is as cheap and more accurate; percent of draws of the rows' means (Student's t of their "
    "seeds)."
)
FEW: Final = 0.995
"""A share above it is sure enough to be written as 100 %, below 1 less it as 0 %."""


def pair_lines(found: ScalingOf) -> list[tuple[str, ...]]:
    """A pair a line, under PAIRS."""
    return [
        (on_words(on), f"{a} (a), {b} (b)", range_words(one), ratio_words(one), verdict_words(one, a, b))
        for on in found.on
        for (a, b), one in on.pairs.items()
    ]


def law_lines(found: ScalingOf) -> list[tuple[str, ...]]:
    """A curve with a law a line, under LAWS."""
    return [
        (
            on_words(on),
            line.name,
            f"{line.law.exponent:.2f}",
            _interval_words(line.law),
            law_words(line),
        )
        for on in found.on
        for line in on.lines
        if line.law is not None
    ]


def _interval_words(law: PowerLaw) -> str:
    """The exponent's interval; with a floor it is open where it reaches the end of those looked at."""
    low, high = f"{law.low:.2f}", f"{law.high:.2f}"
    if law.method == WITH_A_FLOOR:
        low += " or less" if at_an_end(law.low)[0] else ""
        high += " or more" if at_an_end(law.high)[1] else ""
    return f"[{low}, {high}]"


def on_words(on: OnCost) -> str:
    """ "MACs (width varies)"."""
    return COSTS[on.cost] if on.factor in ("epochs", "data") else f"{COSTS[on.cost]} ({HELD[on.factor]} varies)"


def range_words(one: IsoCost) -> str:
    return "–" if one.low != one.low else f"{short(one.low)} to {short(one.high)}"


def ratio_words(one: IsoCost) -> str:
    value, low, high = one.ratio
    return "–" if value != value else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def verdict_words(one: IsoCost, a: str, b: str) -> str:
    """Who is better where, and where the two cross."""
    if one.why:
        return f"not told: {one.why}"
    names = {"a": a, "b": b}
    if one.throughout:
        return f"{names[one.throughout]} at every cost"
    led = [f"{names[part.better]} {_where(part, one)}" for part in one.stretches if part.better]
    return "; ".join([*(led or ["undecided"]), *(_crossing_words(crossing) for crossing in one.crossings)])


def _where(part: Stretch, whole: IsoCost) -> str:
    if part.low == whole.low:
        return f"up to {short(part.high)}"
    return f"from {short(part.low)}" if part.high == whole.high else f"from {short(part.low)} to {short(part.high)}"


def _crossing_words(crossing: Crossing) -> str:
    low = short(crossing.low) if crossing.from_below else f"below {short(crossing.low)}"
    high = short(crossing.high) if crossing.to_above else f"above {short(crossing.high)}"
    at = "they may cross in" if crossing.at is None else f"means cross at {short(crossing.at)},"
    return f"{at} [{low}, {high}]"


def law_words(line: Line) -> str:
    """The law, whether points lie on it, how much the choice of costs matters, and what it says of a larger cost."""
    law = line.law
    if law is None:
        return ""
    floor = f" + {law.floor:.2f}" if law.floor else ""
    said = f"error {law.scale:.2f} x (cost / {short(law.least)})^-{law.exponent:.2f}{floor}"
    if law.misfit is not None and law.misfit < 0.05:
        said += f"; the points do not lie on it (p {p_value(law.misfit)})"
    if law.without_one is not None:
        said += "; exponent without one cost {:.2f} to {:.2f}".format(*law.without_one)
    if line.ahead is not None:
        cost, value, low, high = line.ahead
        said += f"; EXTRAPOLATED to {short(cost)}: top-1 {percent(value)} [{percent(low)}, {percent(high)}]"
        said += " if the law goes on"
    return said


def front_words(front: Front) -> str:
    """Which rows are on the front in how many draws, those that never are left out."""
    shown = [f"{name} ({_share(share)})" for name, share in front.shares.items() if share > 1 - FEW]
    return f"On the front of accuracy against {COSTS[front.cost]}: {listed(shown, 20)}."


def _share(share: float) -> str:
    return f"{100 * share:.0f} %"


def left_out_words(found: ScalingOf) -> list[str]:
    return [f"In no curve: {'; '.join(found.left_out)}."] if found.left_out else []
