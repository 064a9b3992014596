"""The runs of a row as they count: one per seed, with the result that was written or computed from predictions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from levelfield.evaluation import evaluate_probabilities
from levelfield.runs import Predictions, RunFolder, read_predictions
from levelfield.spec import RunSpec
from levelfield.tables.foreign_scores import SCORES as STATED
from levelfield.tables.foreign_scores import read_stated
from levelfield.tables.rows import Row
from levelfield.units import plain

SCORES: Final = (
    "top1", "top3", "top5", "loss", "f1_macro", "f1_weighted", "ece", "brier", "classes", "params", "macs", "steps",
    "samples_seen",
)  # fmt: skip
"""Of result.json what does not depend on when and how fast a run was carried out."""


@dataclass(frozen=True)
class Measured:
    """A finished run of a row. `folder` and `spec` are None for somebody else's predictions, read from `file`,
    and for scores that they state, of which there is no file of predictions either."""

    seed: int
    result: Mapping[str, Any]
    folder: RunFolder | None
    spec: RunSpec | None
    file: Path | None

    @property
    def digest(self) -> str:
        """Of its result, seconds and all: a run that is carried out again has another, and the same identity."""
        return hashlib.sha256(json.dumps(dict(self.result), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def has_predictions(self) -> bool:
        """Whether `predictions` would find a file."""
        return self.file is not None or (self.folder is not None and self.folder.has_predictions)

    def predictions(self) -> Predictions | None:
        if self.file is not None:
            return read_predictions(self.file)
        return None if self.folder is None else self.folder.predictions()


@dataclass(frozen=True)
class Trained(Measured):
    """A finished run that levelfield trained."""

    folder: RunFolder
    spec: RunSpec


@dataclass(frozen=True)
class RowRuns:
    """What a row has: finished runs by seed, and in words what did not finish, and of what seeds finished runs with
    other results than the one that counts are there (`conflicts`)."""

    row: Row
    finished: tuple[Measured, ...]
    unfinished: tuple[str, ...]
    specs: tuple[RunSpec, ...]
    conflicts: tuple[str, ...] = ()

    @property
    def spec(self) -> RunSpec | None:
        """The row's setting (of its first run or declaration)."""
        return self.specs[0] if self.specs else None


def read_row(row: Row) -> RowRuns:
    """Read the results of a row's runs. Of several finished runs of one seed the first counts."""
    finished: dict[int, Measured] = {}
    unfinished, conflicts = [], []
    specs = []
    for run in row.runs:
        spec, result = run.spec(), run.result()
        specs.append(spec)
        if result is None:
            unfinished.append(f"seed {spec.seed}: not finished")
        elif result["status"] != "finished":
            unfinished.append(f"seed {spec.seed}: {result['status']}")
        else:
            first = finished.setdefault(spec.seed, Trained(spec.seed, result, run, spec, None))
            if said := contradiction(first.result, result):
                conflicts.append(f"seed {spec.seed}: {said}")
    for file in row.predictions:
        if file.name == STATED:
            for stated in read_stated(file):
                seed = max(finished, default=-1) + 1
                finished[seed] = Measured(seed, stated.result(), None, None, None)
            continue
        predictions = read_predictions(file)
        scores = evaluate_probabilities(predictions.probabilities, predictions.label)
        seed = max(finished, default=-1) + 1
        finished[seed] = Measured(seed, scores.as_result() | {"status": "finished"}, None, None, file)
    ordered = tuple(finished[seed] for seed in sorted(finished))
    return RowRuns(row, ordered, tuple(unfinished), tuple(specs) or row.declared, tuple(conflicts))


def contradiction(one: Mapping[str, Any], two: Mapping[str, Any]) -> str:
    """In what that was counted or measured in the test the results of two copies of a run differ; "" where in nothing.

    Times and places may differ: a run may be carried out twice.
    """
    differing = [key for key in SCORES if one.get(key) != two.get(key)]
    return ", ".join(
        key if key == "classes" else "{} {} in one, {} in the other".format(key, *_apart(one.get(key), two.get(key)))
        for key in differing[:3]
    )


def _apart(one: Any, two: Any) -> tuple[str, str]:
    """Two values that differ, in as few digits as show that."""
    if not isinstance(one, float) or not isinstance(two, float):
        return str(one), str(two)
    shown = ((plain(one, digits), plain(two, digits)) for digits in (4, 8, 17))
    return next((both for both in shown if both[0] != both[1]), (str(one), str(two)))
