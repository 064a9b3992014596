"""How each run of a study learnt, epoch by epoch, from the metrics that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from levelfield.analysis.studied_rows import Studied, StudiedRow
from levelfield.tables.runs_of_row import Measured
from levelfield.tables.sweep import BACKWARD

SPLITS: Final[Mapping[str, str]] = {
    "val_top1": "validation images, held out of training",
    "train_top1": "training images as each row's augmentation made them, by which rows are not compared",
}
"""By the key of a line of metrics: which images its top-1 is of; the first that all runs of a row have is taken."""


@dataclass(frozen=True)
class RunCurve:
    """A run after each of its `epochs`, ascending: `top1` in percent, and what it had taken until then: `images` seen,
    `seconds` of training, multiply-accumulates (`macs`: for each image BACKWARD times those of a forward pass, and once
    those of its teacher's), `joules` as its `meter` counted them, of what. None where the run does not say. `best`:
    whether its best epoch on validation counts, not its last."""

    seed: int
    epochs: tuple[float, ...]
    top1: tuple[float, ...]
    images: tuple[float, ...] | None
    seconds: tuple[float, ...] | None
    macs: tuple[float, ...] | None
    best: bool = False
    joules: tuple[float, ...] | None = None
    meter: str | None = None

    def stopped(self, place: int) -> float:
        """The top-1 that counts where the run is stopped after its epoch number `place`, from 0."""
        return max(self.top1[: place + 1]) if self.best else self.top1[place]


@dataclass(frozen=True)
class RowCurves:
    """The curves of the `runs` of a row, a seed each."""

    row: StudiedRow
    runs: tuple[RunCurve, ...]

    @property
    def name(self) -> str:
        return self.row.name


@dataclass(frozen=True)
class PanelCurves:
    """The curves of the rows of a test set in one `metric` (of `SPLITS`). `left_out`: rows without it, and why.
    `apart`: rows that are of other validation images than their baseline, in words."""

    panel: str
    metric: str
    rows: tuple[RowCurves, ...]
    left_out: Mapping[str, str]
    apart: Mapping[str, str] = field(default_factory=dict)

    @property
    def comparable(self) -> PanelCurves:
        """Without the rows that are `apart`."""
        return replace(self, rows=tuple(row for row in self.rows if row.name not in self.apart))

    @property
    def meter(self) -> str | None:
        """What the meters of all runs counted the energy of; None where some had none, or not all the same kind."""
        runs = [run for row in self.rows for run in row.runs]
        kinds = {None if run.joules is None else run.meter for run in runs}
        return kinds.pop() if len(kinds) == 1 else None

    def not_compared(self, baseline: str | None) -> str:
        """Why no row can be compared with the baseline; "" where one can."""
        if self.metric != "val_top1":
            return f"by epoch there is only {self.metric}, which no verdict is of"
        if not any(row.name == baseline for row in self.rows):
            return f"the baseline {baseline} has no such curve"
        return "" if len(self.rows) > 1 else "there is nothing to compare"


def curves_of_panel(found: Studied, panel: str) -> PanelCurves | str:
    """In the metric that most rows have, of equals validation; or why there are no curves."""
    lines = {row.name: [_epochs(run) for run in row.runs] for row in found.of(panel)}
    able = {
        metric: [name for name, runs in lines.items() if all(any(metric in line for line in run) for run in runs)]
        for metric in SPLITS
    }
    metric = max(SPLITS, key=lambda one: len(able[one]))
    if not able[metric]:
        return "no run of it has a line of metrics an epoch (metrics.jsonl)"
    rows, left_out = [], {}
    for row in found.of(panel):
        if row.name not in able[metric]:
            left_out[row.name] = f"not all of its runs have {metric} by epoch"
            continue
        runs = zip(row.runs, lines[row.name], strict=True)
        rows.append(RowCurves(row, tuple(_curve(run, own, metric) for run, own in runs)))
    return PanelCurves(panel, metric, tuple(rows), left_out, _apart(found, panel) if metric == "val_top1" else {})


def _apart(found: Studied, panel: str) -> dict[str, str]:
    held_out = {row.name: {_validated_on(run) for run in row.runs} for row in found.of(panel)}
    baseline = found.baselines.get(panel, "")
    if baseline not in held_out:
        return {}
    why = f"not compared with {baseline}, which held out other validation images"
    return {name: why for name, own in held_out.items() if own != held_out[baseline]}


def _validated_on(run: Measured) -> tuple[object, ...]:
    """What decides which training images a run holds out."""
    if run.spec is None:
        return ()
    data, recipe = run.spec.data, run.spec.recipe
    return data.name, recipe.validation if data.validation is None else data.validation, data.split_seed


def _epochs(run: Measured) -> list[dict[str, Any]]:
    """The lines of finished epochs, in their order; an epoch that was trained again after a resume counts once."""
    if run.folder is None:
        return []
    lines = (line for line in run.folder.metrics() if line.get("kind", "epoch") == "epoch" and "epoch" in line)
    by_epoch = {line["epoch"]: {key: value for key, value in line.items() if value is not None} for line in lines}
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def _curve(run: Measured, lines: list[dict[str, Any]], metric: str) -> RunCurve:
    images: list[float | None] = []
    seen: float | None = 0.0
    for line in lines:  # an epoch without a validation has trained on its images, too
        seen = None if seen is None or "samples" not in line else seen + line["samples"]
        images.append(seen)
    places = [place for place, line in enumerate(lines) if metric in line]
    forward = run.result.get("macs")
    each = None if not forward else BACKWARD * forward + (run.result.get("teacher_macs") or 0)
    taken = _all([images[place] for place in places])
    return RunCurve(
        run.seed,
        tuple(lines[place]["epoch"] for place in places),
        tuple(lines[place][metric] for place in places),
        taken,
        _all(
            [lines[place].get("train_seconds") or None for place in places]
        ),  # 0: the first steps, which are not timed
        None if taken is None or each is None else tuple(each * count for count in taken),
        run.spec is not None and metric == "val_top1" and run.spec.recipe.selection == "best_validation",
        _all([lines[place].get("train_joules") for place in places]),
        run.result.get("energy_of"),
    )


def _all(values: list[float | None]) -> tuple[float, ...] | None:
    known = tuple(value for value in values if value is not None)
    return known if len(known) == len(values) else None
