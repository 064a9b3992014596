"""What a study would have concluded, had all its runs been stopped earlier: would a verdict have flipped?

Each stop is judged as if it were the study's only look, on the same images as the end. Runs are stopped on their way:
one that is planned shorter has a schedule of its own and ends better, so this says how soon a verdict shows in runs of
this length, not what shorter trainings would say.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Final

from levelfield.analysis.run_curves import PanelCurves, RunCurve
from levelfield.statistics import RowScores
from levelfield.statistics.measures import Measure, MeasuredDifference, compare_measures

STOPS: Final = 10
TOP1: Final = Measure("top1", "top-1 %", True)
DECIDED: Final = ("better", "worse")


def earlier_stops(curves: PanelCurves, baseline: str | None) -> dict[str, Any]:
    """`stops`: up to ten, evenly over each run's epochs, the last one the end: `share` of the training in percent, the
    `epoch` where it is one for all, and by row the difference to the baseline with its verdict. `rows`: of each its
    verdict at the `end`, from which share on it is the same (`settled`), and the shares at which the opposite was
    decided (`flipped`), or anything of what the end leaves open (`early`). Without stops, `said` says why."""
    if why := curves.not_compared(baseline):
        return {"said": f"not told: {why}", "stops": [], "rows": []}
    base = next(row for row in curves.rows if row.name == baseline)
    every = [run for row in curves.rows for run in row.runs]
    count = min(STOPS, *(len(run.epochs) for run in every))
    stops = []
    for stop in range(1, count + 1):
        scores = {
            one.name: RowScores(
                {run.seed: run.stopped(_place(run, stop, count)) for run in one.runs}, None, one.row.start
            )
            for one in curves.rows
        }
        ended = {run.epochs[_place(run, stop, count)] for run in every}
        found = compare_measures({TOP1: scores}, base.name)
        stops.append({
            "share": 100 * stop / count,
            "epoch": ended.pop() if len(ended) == 1 else None,
            "rows": {one.row: _of(one) for one in found},
        })  # fmt: skip
    names = [row.name for row in curves.rows if row is not base]
    return {"said": "", "stops": stops, "rows": [_over_stops(name, stops) for name in names]}


def _place(run: RunCurve, stop: int, count: int) -> int:
    return math.ceil(stop * len(run.epochs) / count) - 1


def _of(one: MeasuredDifference) -> dict[str, Any]:
    return {"estimate": one.estimate, "low": one.low, "high": one.high, "verdict": one.verdict}


def _over_stops(name: str, stops: list[dict[str, Any]]) -> dict[str, Any]:
    verdicts = [stop["rows"][name]["verdict"] for stop in stops]
    end = verdicts[-1]
    same = next(place for place in range(len(stops)) if set(verdicts[place:]) == {end})
    opposite = {"better": "worse", "worse": "better"}.get(end)

    def shares(said: Collection[str | None]) -> list[float]:
        return [stop["share"] for stop, verdict in zip(stops, verdicts, strict=True) if verdict in said]

    return {
        "row": name,
        "end": end,
        "settled": stops[same]["share"],
        "flipped": shares([opposite]),
        "early": [] if end in DECIDED else shares(DECIDED),
    }
