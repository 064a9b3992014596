"""How long the rest of a study will take: from its own finished runs, else from a few timed steps of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.spec.weights_taken import START
from levelfield.studies.declared.planned_runs import PlannedRun
from levelfield.studies.results.run_folders import Found
from levelfield.studies.running.processes import threads_of
from levelfield.tables.sweep import BACKWARD

OVERHEAD_S = 2.0
"""Seconds that a run takes beside its training steps and its test: opening data, counting, writing files."""


@dataclass
class Estimate:
    """`per_run_s`: seconds of a whole run, by the row that has the runs. `impossible`: why a row cannot be run."""

    per_run_s: dict[str, float] = field(default_factory=dict)
    impossible: dict[str, str] = field(default_factory=dict)
    left_s: float = 0.0


def estimate(found: Sequence[Found], progress: Progress, parallel: int = 1) -> Estimate:
    """Expected seconds for every run that is not finished; a begun run counts for what is left of it.

    `parallel`: runs at once, each timed with its share of the cores and taken not to slow the others.
    """
    result = Estimate()
    unfinished = {one.run.key: one for one in found if one.state != "finished"}
    rows = {one.run.row.home: one for one in unfinished.values()}
    measured = measured_seconds(found)
    progress.start(len(rows), "timing a few steps of each row")
    for home, one in rows.items():
        progress.advance(0, row=home)
        try:
            result.per_run_s[home] = measured[home] if home in measured else _probed(one, parallel)
        except UserError as error:
            result.impossible[home] = str(error)
        progress.advance(1)
    progress.finish()
    for home, one in rows.items():
        for key, before in one.run.row.before.items():
            if before.home in result.impossible and home in result.per_run_s:
                what = "starts from the weights of" if key == START else "is taught by"
                result.impossible[home] = f"it {what} {before.name}, which cannot be run"
                del result.per_run_s[home]
    left = [
        result.per_run_s[one.run.row.home] * (1.0 - _share_done(one))
        for one in unfinished.values()
        if one.run.row.home in result.per_run_s
    ]
    result.left_s = max(sum(left) / parallel, *left) if left else 0.0
    return result


def measured_seconds(found: Sequence[Found]) -> dict[str, float]:
    """Row -> mean seconds of its finished runs."""
    seconds: dict[str, list[float]] = {}
    for one in found:
        if one.state == "finished" and one.folder is not None and (result := one.folder.result()) is not None:
            took = sum(result.get(key) or 0.0 for key in ("compile_seconds", "train_seconds", "eval_seconds"))
            seconds.setdefault(one.run.row.home, []).append(took + OVERHEAD_S)
    return {home: sum(each) / len(each) for home, each in seconds.items()}


def _probed(one: Found, parallel: int) -> float:
    """Seconds of a run by timed steps, without weights that are not there yet: a step takes as long from fresh ones.

    A teacher that is not there yet is taken to need, for an image, a third of what a training step of its own takes.
    """
    from levelfield.training.prepare_run import prepare
    from levelfield.training.step_timing import estimate_seconds

    spec, taught_by = one.run.alone, one.run.row.taught_by
    threads = {"execution.threads": threads_of(spec, parallel)} if parallel > 1 else {}
    seconds = estimate_seconds(prepare(spec.changed(threads))) + OVERHEAD_S
    if taught_by is None:
        return seconds
    as_long = {"recipe.batch_size": spec.recipe.batch_size, "budget": spec.budget}
    network = PlannedRun(taught_by, one.run.seed).alone.changed({**as_long, **threads})
    return seconds + estimate_seconds(prepare(network)) / BACKWARD


def _share_done(one: Found) -> float:
    """How much of a begun run its newest line of metrics shows to be done; 0 where its length is not in epochs."""
    epochs = one.run.spec.budget.epochs
    if one.folder is None or epochs is None:
        return 0.0
    lines = one.folder.metrics()
    return min(1.0, float(lines[-1].get("epoch", 0.0)) / epochs) if lines else 0.0
