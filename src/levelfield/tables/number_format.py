"""How numbers are written: one form for a quantity wherever it is shown; an en dash where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from levelfield.statistics import Difference, Estimate, Interval
from levelfield.units import NONE, short, whole

__all__ = [
    "NONE",
    "bounds",
    "difference_interval",
    "estimate_with_interval",
    "interval",
    "p_value",
    "percent",
    "short",
    "signed",
    "whole",
]


def percent(value: float | None, digits: int = 2) -> str:
    """A score in percent, without the sign: "93.17"."""
    return NONE if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 2) -> str:
    """A difference in points: "+1.20", with a true minus sign."""
    return NONE if value is None else f"{value:+.{digits}f}".replace("-", "−")


def bounds(estimate: Estimate | Difference | Interval | None, least: float = 0.0) -> tuple[float | None, float | None]:
    """An interval in percent, of scores (`least` 0) or of a difference of scores (-100), cut at what they can be.

    Student's t knows no such limits: with two seeds it may go far beyond.
    """
    if estimate is None or estimate.low is None or estimate.high is None:
        return None, None
    return max(estimate.low, least), min(estimate.high, 100.0)


def interval(estimate: Estimate | None) -> str:
    """ "[92.82, 93.52]", or an en dash."""
    low, high = bounds(estimate)
    return NONE if low is None or high is None else f"[{low:.2f}, {high:.2f}]"


def difference_interval(difference: Difference | Interval | None) -> str:
    """ "[+0.31, +2.09]"; an en dash where there is none, or one that leaves out no difference of two scores."""
    low, high = bounds(difference, -100.0)
    return NONE if low is None or high is None or (low, high) == (-100.0, 100.0) else f"[{signed(low)}, {signed(high)}]"


def p_value(value: float | None) -> str:
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def estimate_with_interval(found: Mapping[str, float | None] | None, difference: bool = False) -> str:
    """ "8.10 [7.92, 8.28]" of an `estimate` with its `low` and `high`, as an analysis stores it; with signs where it is
    a `difference`; without an interval where there is none."""
    if found is None or found["estimate"] is None:
        return NONE
    low, high, form = found["low"], found["high"], signed if difference else percent
    return form(found["estimate"]) + (
        "" if low is None or high is None else f" [{form(low if difference else max(0.0, low))}, {form(high)}]"
    )


def censored_mean(found: Mapping[str, float | None] | None, digits: int) -> str:
    """ "12.4 [10.1, 14.7]" of a mean of times as an analysis stores it; "at least 18.0" where some never came."""
    if found is None:
        return NONE
    if found["at_least"] is not None:
        return f"at least {found['at_least']:,.{digits}f}"
    low, high = found["low"], found["high"]
    mean = f"{found['estimate']:,.{digits}f}"
    return mean if low is None or high is None else f"{mean} [{low:,.{digits}f}, {high:,.{digits}f}]"


def last_crossing(found: Mapping[str, Any]) -> str:
    """ "12.4 [10, 15]": the epoch at which two learning curves cross last, as an analysis stores it, with its interval,
    whose ends may be those of the training; or "never: leads throughout"."""
    if found["said"]:
        return "not told"
    if found["at"] is None:
        all_of_them = found["ahead"] == found["epochs"]
        return "never: leads " + ("throughout" if all_of_them else f"at {found['ahead']} of {found['epochs']} epochs")
    if found["no_interval"]:
        return f"{found['at']:.1f} (no interval)"
    low, high = ("start" if found["low"] is None else f"{found['low']:g}"), found["high"]
    return f"{found['at']:.1f} [{low}, {'end' if high is None else f'{high:g}'}]"


def seeds_never(found: Mapping[str, Any]) -> str:
    """The seeds that never reached what was asked for, those that failed in training among them."""
    failed = (f"{seed} (failed)" for seed in found.get("failed", ()))
    return ", ".join([*map(str, found["never"]), *failed]) or NONE
