"""How long the rest of a study will take: from its own finished runs, else from a few timed steps of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.studies.found import Found

OVERHEAD_S = 2.0
"""Seconds that a run takes beside its training steps and its test: opening data, counting, writing files."""


@dataclass
class Estimate:
    """`per_run_s`: seconds of a whole run, by the row that has the runs. `impossible`: why a row cannot be run."""

    per_run_s: dict[str, float] = field(default_factory=dict)
    impossible: dict[str, str] = field(default_factory=dict)
    left_s: float = 0.0


def estimate(found: Sequence[Found], progress: Progress) -> Estimate:
    """Expected seconds for every run that is not finished; a begun run counts for what is left of it."""
    result = Estimate()
    unfinished = [one for one in found if one.state != "finished"]
    rows = {one.run.row.home: one for one in unfinished}
    measured = measured_seconds(found)
    progress.start(len(rows), "timing a few steps of each row")
    for home, one in rows.items():
        if home in measured:
            result.per_run_s[home] = measured[home]
        elif one.run.row.after is None:
            try:
                result.per_run_s[home] = _probed(one)
            except UserError as error:
                result.impossible[home] = str(error)
        progress.advance(1)
    progress.finish()
    known = list(result.per_run_s.values())
    for home, one in rows.items():
        if (
            home not in result.per_run_s
            and one.run.row.after not in result.impossible
            and home not in result.impossible
        ):
            result.per_run_s[home] = sum(known) / len(known) if known else OVERHEAD_S
    counted = set()
    for one in unfinished:
        home = one.run.row.home
        if one.run.key not in counted and home in result.per_run_s:
            counted.add(one.run.key)
            result.left_s += result.per_run_s[home] * (1.0 - _share_done(one))
    return result


def measured_seconds(found: Sequence[Found]) -> dict[str, float]:
    """Row -> mean seconds of its finished runs."""
    seconds: dict[str, list[float]] = {}
    for one in found:
        if one.state == "finished" and one.folder is not None and (result := one.folder.result()) is not None:
            took = result["train_seconds"] + result["eval_seconds"] + OVERHEAD_S
            seconds.setdefault(one.run.row.home, []).append(took)
    return {home: sum(each) / len(each) for home, each in seconds.items()}


def _probed(one: Found) -> float:
    from levelfield.training.probe import estimate_seconds
    from levelfield.training.resolve import prepare

    return estimate_seconds(prepare(one.run.spec)) + OVERHEAD_S


def _share_done(one: Found) -> float:
    """How much of a begun run its newest line of metrics shows to be done; 0 where its length is not in epochs."""
    epochs = one.run.spec.budget.epochs
    if one.folder is None or epochs is None:
        return 0.0
    lines = one.folder.metrics()
    return min(1.0, float(lines[-1].get("epoch", 0.0)) / epochs) if lines else 0.0
