"""Whether the confidence of a study's rows is to be believed, from their stored predictions, run by run.

Temperatures and the thresholds of conformal sets are fitted on validation images only; a run that held none out has
neither, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from levelfield.analysis.out_of_distribution import detections
from levelfield.analysis.studied_rows import (
    Studied,
    differences,
    identity_of,
    made_of,
    whose,
    without_predictions,
)
from levelfield.analysis.validation_predictions import validation_predictions
from levelfield.errors import UserError
from levelfield.evaluation import calibration_error as error
from levelfield.evaluation.brier_parts import brier_parts
from levelfield.evaluation.conformal import conformal_sets
from levelfield.evaluation.selective import accuracy_at, area_under_risk, selective_risk
from levelfield.evaluation.temperature import at_temperature, fit_temperature, negative_log_likelihood
from levelfield.runs import Predictions
from levelfield.statistics.measures import Measure
from levelfield.tables.runs_of_row import Measured

MISSES: Final = (0.1, 0.05)
"""Shares of images whose conformal set may miss the right class."""
COVERAGES: Final = tuple(percent / 100 for percent in range(5, 101, 5))
MEASURES: Final = (
    Measure("nll", "NLL (nats)", False, 4),
    Measure("brier", "Brier", False, 4),
    Measure("ece", "ECE % (equal width)", False),
    Measure("ece_equal_mass", "ECE % (equal mass)", False),
    Measure("rms_debiased", "RMS error % (debiased)", False),
    Measure("aurc", "AURC %", False),
)
"""What is compared: one family over all of them."""


def calibration(
    found: Studied, *, other: str | None = None, images: int | None = None, seed: int = 0, device: str = "auto",
    data_dir: str | None = None, see: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:  # fmt: skip
    """What calibration.json holds: `rows` with the measures of every run, `differences` to the baselines, `left_out`:
    whose predictions are not here; `runs`.

    `other`: a data set at hand whose images are to be told from the test images, `images` of each (None: all). `see` is
    told of each run. Raises UserError where no run has predictions.
    """
    if not any(run.has_predictions for row in found.rows for run in row.runs):
        raise UserError(f"no stored predictions in {found.folder}\nconfidence is read from predictions")
    rows, values = [], {}
    for row in found.rows:
        runs = []
        for run in row.runs:
            see(f"{row.name}, seed {run.seed}")
            predictions = run.predictions()
            if predictions is None:
                continue
            measured = of_predictions(predictions)
            measured |= _held_out(found, run, predictions, device, data_dir)
            if other is not None:
                measured |= detections(found.folder, run, other, images, seed, device, data_dir)
            runs.append({"seed": run.seed, "identity": identity_of(run), **measured})
        values[row.name] = {run["seed"]: run for run in runs}
        rows.append({"row": row.name, "title": row.title, "panel": row.panel, "runs": runs})
    return {
        "baselines": dict(found.baselines),
        "other": other,
        "measures": [asdict(measure) for measure in MEASURES],
        "rows": rows,
        "left_out": {row.name: said for row in found.rows if (said := without_predictions(row))},
        "differences": differences(found, MEASURES, values),
        "runs": whose(found),
        "made_of": made_of(found),
    }


def of_predictions(predictions: Predictions) -> dict[str, Any]:
    """The measures of one run's test predictions: errors and AURC in percent, NLL in nats, Brier in [0, 2]; `bins` of
    equal mass; the selective `risk` in percent at each of `COVERAGES`."""
    p, label = _normalised(predictions.probabilities), predictions.label
    confidence, right = p.max(1), p.argmax(1) == label
    mass, width = error.equal_mass(confidence, right), error.equal_width(confidence, right)
    risk = selective_risk(confidence, right)
    return {
        "images": len(label),
        "top1": 100 * float(right.mean()),
        "confidence": 100 * float(confidence.mean()),
        "nll": negative_log_likelihood(p, label),
        **asdict(brier_parts(p, label)),
        "ece": error.expected_calibration_error(width),
        "ece_equal_mass": error.expected_calibration_error(mass),
        "rms_debiased": error.debiased_calibration_error(mass),
        "aurc": area_under_risk(risk),
        "top1_of_surest_80": accuracy_at(risk, 0.8),
        "bins": [
            {"images": int(n), "confidence": 100 * float(sure), "right": 100 * float(share)}
            for n, sure, share in zip(mass.count, mass.confidence, mass.right, strict=True)
        ],
        "risk": [100 - accuracy_at(risk, coverage) for coverage in COVERAGES],
    }


def _held_out(
    found: Studied, run: Measured, predictions: Predictions, device: str, data_dir: str | None
) -> dict[str, Any]:
    """What is fitted on validation images and tried on test images; `validation` says why not, where it is not."""
    held = validation_predictions(found.folder, run, device, data_dir)
    if isinstance(held, str):
        return {"validation": held, "temperature": None, "conformal": []}
    chosen = run.spec is not None and run.spec.recipe.selection == "best_validation"
    inside, outside = _normalised(held.probabilities), _normalised(predictions.probabilities)
    temperature = fit_temperature(inside, held.label)
    scaled = at_temperature(outside, temperature)
    confidence, right = scaled.max(1), scaled.argmax(1) == predictions.label
    return {
        "validation": f"{len(held.label):,} images" + (", by which its epoch was chosen, too" if chosen else ""),
        "temperature": temperature,
        "nll_scaled": negative_log_likelihood(scaled, predictions.label),
        "ece_scaled": error.expected_calibration_error(error.equal_mass(confidence, right)),
        "conformal": [
            asdict(conformal_sets((inside, held.label), (outside, predictions.label), miss)) for miss in MISSES
        ],
    }


def _normalised(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    whole = probabilities.astype(np.float64)
    whole /= whole.sum(1, keepdims=True)
    return whole


def mean_of(runs: Sequence[dict[str, Any]], key: str) -> float | None:
    """The mean of a measure over the runs that have it; None where none has."""
    known = [run[key] for run in runs if run.get(key) is not None]
    return float(np.mean(known)) if known else None
