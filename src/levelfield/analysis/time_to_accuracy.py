"""How long the runs of a row take to a stated accuracy; those that never reach it are counted, never dropped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from levelfield.analysis.run_curves import PanelCurves, RunCurve
from levelfield.statistics import seeds_interval
from levelfield.statistics.measures import Measure

MEASURES: Final = (Measure("epochs", "epochs", False, 1),)
"""What is compared, where every run of a row reached the accuracy. Seconds are told and not compared: runs of one table
pass in quiet and in busy hours."""
SHARE: Final = 0.9
"""The accuracy that is asked for where none is stated: of the baseline's last one, rounded down to a whole percent."""


def usual_target(curves: PanelCurves, baseline: str | None) -> float:
    """SHARE of the baseline's mean last top-1, else of the first row's."""
    of = next((row for row in curves.rows if row.name == baseline), curves.rows[0])
    return float(math.floor(SHARE * fmean(run.top1[-1] for run in of.runs)))


def reached(run: RunCurve, target: float) -> dict[str, Any]:
    """`epochs` and `seconds` after which the run first had `target`; None where it never did, or seconds are not
    known. Read after whole epochs: nothing is interpolated."""
    place = next((place for place, top1 in enumerate(run.top1) if top1 >= target), None)
    if place is None:
        return {"epochs": None, "seconds": None}
    return {"epochs": run.epochs[place], "seconds": None if run.seconds is None else run.seconds[place]}


def of_row(runs: Sequence[RunCurve], target: float, failed: Sequence[int] = ()) -> dict[str, Any]:
    """Over the `runs` of a row: how many `reached` the target, the seeds that `never` did, and by measure the mean with
    its interval, where all did. Where some never did their mean is `at_least` so much: they count with the whole of
    their training (they are censored there). Seeds that `failed` in training count as a mean of the others at least."""
    found = {run.seed: reached(run, target) for run in runs}
    never = [run.seed for run in runs if found[run.seed]["epochs"] is None]
    said: dict[str, Any] = {
        "reached": len(runs) - len(never),
        "runs": len(runs) + len(failed),
        "never": never,
        "failed": list(failed),
    }
    for key, ends in (("epochs", [run.epochs for run in runs]), ("seconds", [run.seconds for run in runs])):
        known = {run.seed: end for run, end in zip(runs, ends, strict=True) if end}
        taken = {seed: found[seed][key] for seed in known}
        said[key] = _summary(taken, {seed: end[-1] for seed, end in known.items()}, bool(failed))
    return said


def _summary(taken: Mapping[int, float | None], ends: Mapping[int, float], more: bool) -> dict[str, Any] | None:
    """None where not known of any run. `more`: other runs never had it."""
    if not taken:
        return None
    values = [value for value in taken.values() if value is not None]
    if len(values) < len(taken) or more:
        bound = fmean(ends[seed] if value is None else value for seed, value in taken.items())
        return {"estimate": None, "low": None, "high": None, "at_least": bound}
    mean = seeds_interval(values)
    low = None if mean.low is None else max(0.0, mean.low)
    return {"estimate": mean.value, "low": low, "high": mean.high, "at_least": None}


def to_compare(
    runs: Sequence[RunCurve], target: float, failed: Sequence[int] = ()
) -> dict[int, Mapping[str, float | None]]:
    """By seed what may be compared with another row: nothing where any run failed or never reached the target, as the
    mean of the others would be of chosen runs."""
    found = {run.seed: reached(run, target) for run in runs}
    return {} if failed or any(one["epochs"] is None for one in found.values()) else dict(found)
