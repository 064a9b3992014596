"""How the rows of a study get to where they end, from the metrics of every run: curves, time to an accuracy, stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any, Final

from levelfield.analysis.crossings import crossings
from levelfield.analysis.earlier_stops import earlier_stops
from levelfield.analysis.run_curves import SPLITS, PanelCurves, RunCurve, curves_of_panel
from levelfield.analysis.studied_rows import Studied, differences, made_of, whose
from levelfield.analysis.time_to_accuracy import MEASURES, of_row, to_compare, usual_target
from levelfield.errors import UserError
from levelfield.statistics import seeds_interval
from levelfield.tables.runs_of_row import Measured

AXES: Final = ("epochs", "images", "seconds", "macs", "joules")


def curves(found: Studied, target: float | None = None) -> dict[str, Any]:
    """What curves.json holds: `panels` with the curves of every row over epochs, images, seconds, MACs and joules, how
    long each takes to `target` percent (None: of each test set the usual one), where they cross the baseline's, and
    what earlier stops would have concluded; `differences` in epochs to the target, on validation images alone; `runs`.

    Raises UserError where no run has metrics by epoch.
    """
    panels, why = [], []
    values: dict[str, Mapping[int, Mapping[str, float | None]]] = {}
    for panel in found.panels:
        read = curves_of_panel(found, panel)
        if isinstance(read, str):
            why.append(f"{panel}: {read}")
            continue
        wanted = usual_target(read, found.baselines.get(panel)) if target is None else target
        panels.append(_of_panel(read, wanted, target is None, found.baselines.get(panel)))
        if read.metric == "val_top1":
            values |= {one.name: to_compare(one.runs, wanted, one.row.failed) for one in read.comparable.rows}
    if not panels:
        raise UserError(f"no curves in {found.folder}: {'; '.join(why)}\nthey are read from the runs' metrics.jsonl")
    return {
        "baselines": dict(found.baselines),
        "measures": [asdict(measure) for measure in MEASURES],
        "panels": panels,
        "differences": differences(found, MEASURES, values),
        "runs": whose(found),
        "made_of": made_of(found),
    }


def _of_panel(read: PanelCurves, target: float, usual: bool, baseline: str | None) -> dict[str, Any]:
    axes = [axis for axis in AXES if axis != "joules" or read.meter]
    return {
        "panel": read.panel,
        "metric": read.metric,
        "split": SPLITS[read.metric],
        "left_out": {**read.left_out, **read.apart},
        "meter": read.meter,
        "trained_before": [one.row.title for one in read.rows if any(map(_trained_before, one.row.runs))],
        "target": target,
        "stated": not usual,
        "rows": [
            {
                "row": one.name,
                "title": one.row.title,
                "points": points(one.runs, axes),
                "to_target": of_row(one.runs, target, one.row.failed),
            }
            for one in read.rows
        ],
        "crossings": crossings(read.comparable, baseline),
        "stops": earlier_stops(read.comparable, baseline),
    }


def _trained_before(run: Measured) -> bool:
    """Whether a run starts from trained weights, whose training no axis counts."""
    return run.spec is not None and run.spec.model.start_from is not None


def points(runs: Sequence[RunCurve], axes: Sequence[str]) -> list[dict[str, Any]]:
    """After each epoch that all `runs` have: the mean top-1, its interval over seeds, the lowest and the highest, and
    by axis the mean of what was taken until then (None where not every run says it, or it is not of `axes`)."""
    common = sorted(set.intersection(*(set(run.epochs) for run in runs)))
    found = []
    for epoch in common:
        places = [run.epochs.index(epoch) for run in runs]
        values = [run.top1[place] for run, place in zip(runs, places, strict=True)]
        mean = seeds_interval(values)
        point: dict[str, Any] = {"epochs": epoch, "mean": mean.value, "low": mean.low, "high": mean.high,
                                 "lowest": min(values), "highest": max(values)}  # fmt: skip
        for axis in AXES[1:]:
            taken = [getattr(run, axis) for run in runs]
            known = axis in axes and all(one is not None for one in taken)
            point[axis] = fmean(one[place] for one, place in zip(taken, places, strict=True)) if known else None
        found.append(point)
    return found
