"""Where the learning curves of two rows cross last, with the epochs between which that is.

Epoch by epoch the rows are told apart by the test that compares rows by their own runs, at 5 %. The epochs from the
last that tells the earlier lead to the first that tells the later one are the interval (Fieller's way, as of curves
over costs in `statistics.iso_cost`). A bootstrap over three to five seeds would be far too narrow:
`benchmarks/curve_crossings.py` measures both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from levelfield.analysis.run_curves import PanelCurves, RowCurves
from levelfield.statistics import ALPHA, RowScores
from levelfield.statistics.choose_test import PairTests

Signs = NDArray[np.int64]


def crossings(curves: PanelCurves, baseline: str | None) -> dict[str, Any]:
    """Of every row beside the baseline in `rows`: `at` which epoch the means cross last (between two: on the line that
    joins them; None where they never do), the interval [`low`, `high`] (None: open at that end; both, with
    `no_interval`: there is none), which row leads `before` and `after`, and at how many of the common `epochs` the
    latter is `ahead`. `said`: why that is not told of a row, and of all, where `rows` is empty."""
    if why := curves.not_compared(baseline):
        return {"said": f"not told: {why}", "rows": []}
    base = next(row for row in curves.rows if row.name == baseline)
    return {"said": "", "rows": [_crossing(row, base) for row in curves.rows if row is not base]}


def _crossing(row: RowCurves, base: RowCurves) -> dict[str, Any]:
    said: dict[str, Any] = {"row": row.name, "said": _uncertain(row, base), "no_interval": ""}
    said |= dict.fromkeys(("at", "low", "high", "before", "after", "ahead", "epochs"))
    if said["said"]:
        return said
    epochs = sorted(set.intersection(*(set(run.epochs) for run in (*row.runs, *base.runs))))
    tests = [_test(row, base, epoch) for epoch in epochs]
    apart = np.array([test.estimate for test in tests])
    signs = _leads(apart)
    if not signs.any():
        return said | {"said": "equal at every epoch"}
    told = np.where([test.p < ALPHA for test in tests], signs, 0)
    names = {1: row.name, -1: base.name}
    before, after, at, low, high = _last(np.array(epochs), apart, signs, told)
    known = any(test.deviation is not None for test in tests)
    return said | {
        "at": at,
        "low": low,
        "high": high,
        "before": names[before],
        "after": names[after],
        "ahead": int((signs == after).sum()),
        "epochs": len(epochs),
        "no_interval": "" if known else tests[-1].reason,
    }


def _uncertain(row: RowCurves, base: RowCurves) -> str:
    """Why two rows' curves are not laid over one another; "" where they are."""
    for one in (row, base):
        if one.row.failed:
            return f"seed {', '.join(map(str, one.row.failed))} of {one.name} failed in training"
    own, other = ({run.epochs[-1] for run in one.runs} for one in (row, base))
    if own != other or len(own) > 1:
        lengths = [", ".join(f"{epoch:g}" for epoch in sorted(of)) for of in (own, other)]
        return f"trained for other numbers of epochs ({lengths[0]}) than {base.name} ({lengths[1]})"
    return ""


def _test(row: RowCurves, base: RowCurves, epoch: float) -> Any:
    scores = {
        one.name: RowScores({run.seed: run.top1[run.epochs.index(epoch)] for run in one.runs}, None, one.row.start)
        for one in (row, base)
    }
    return PairTests(scores).own(row.name, base.name)


def _leads(apart: NDArray[np.float64]) -> Signs:
    """By epoch 1 or -1; where the means are equal, that of the epoch before, at first of the one after."""
    signs = np.sign(apart).astype(np.int64)
    known = np.flatnonzero(signs)
    if not len(known):
        return signs
    return signs[known[np.maximum(np.searchsorted(known, np.arange(len(signs)), side="right") - 1, 0)]]


def _last(
    epochs: NDArray[np.float64], apart: NDArray[np.float64], signs: Signs, told: Signs
) -> tuple[int, int, float | None, float | None, float | None]:
    """Who leads before and after (signs), where the means cross, and the interval. Where the lead of the end was told
    before the means left it for a while, and no other ever was, that is no crossing."""
    after = int(signs[-1])
    first, end = 0, len(epochs) - 1
    low = high = None
    if len(other := np.flatnonzero(told == -after)):
        first = int(other[-1])
        low = float(epochs[first])
    if len(own := np.flatnonzero(told[first:] == after)):
        end = first + int(own[0])
        high = float(epochs[end])
    turns = np.flatnonzero(np.diff(signs[first : end + 1]))
    if not len(turns):
        return after, after, None, None, None
    here = first + int(turns[-1])
    share = apart[here] / (apart[here] - apart[here + 1])
    return -after, after, float(epochs[here] + share * (epochs[here + 1] - epochs[here])), low, high
