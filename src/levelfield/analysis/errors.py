"""Where the rows of a study err, from their stored predictions: classes, pairs of classes, images, and churn.

Recall of each class beside the baseline is one question of as many hypotheses as there are classes and rows; it is
decided by the false discovery rate. Whether a row errs elsewhere than the baseline, beyond what another seed changes,
is a question of its own, a Holm family over rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from levelfield.analysis.confusion_clusters import clusters
from levelfield.analysis.hard_images import hardest, label_candidates
from levelfield.analysis.predicted_panels import PanelPredictions, RowPredictions, predictions_of_panel
from levelfield.analysis.studied_rows import Studied, differences, made_of, whose
from levelfield.errors import UserError
from levelfield.statistics.churn import churn_between, churn_beyond_seeds, churn_within, disagreement
from levelfield.statistics.false_discovery import benjamini_hochberg
from levelfield.statistics.holm import holm
from levelfield.statistics.intervals import LEVEL
from levelfield.statistics.measures import Measure
from levelfield.statistics.pair_tests import LEAST, PairTest
from levelfield.tables.prediction_analysis import confused_shares, most_confused

PAIRS: Final = 12
"""So many pairs of classes are named."""
MOST_CLASSES: Final = 40
"""Of more the whole confusion is not written out: no chart could show it."""


def errors(found: Studied, see: Callable[[str], None] = lambda words: None) -> dict[str, Any]:
    """What errors.json holds: `panels` with what is said of each test set, `differences` of recall by class, the
    surest first, `said`: how many are decided, `runs`.

    `see` is told of each panel. Raises UserError where no run has predictions.
    """
    panels, why = [], []
    values: dict[str, dict[int, dict[str, float | None]]] = {}
    for panel in found.panels:
        see(f"predictions for {panel}")
        read = predictions_of_panel(found, panel)
        if isinstance(read, str):
            why.append(read)
            continue
        panels.append(_of_panel(read, found.baselines.get(panel)))
        values |= {own.row.name: _recalls(read, own) for own in read.rows}
    if not panels:
        raise UserError(f"no stored predictions in {found.folder}: {'; '.join(why)}\nerrors are read from predictions")
    names = list(dict.fromkeys(name for panel in panels for name in panel["classes"]))
    measures = [Measure(name, name, True) for name in names]
    beside = differences(found, measures, values, benjamini_hochberg)
    return {
        "baselines": dict(found.baselines),
        "measures": [asdict(measure) for measure in measures],
        "panels": panels,
        "said": _in_words(beside),
        "differences": sorted(beside, key=lambda one: float(one["p_adjusted"])),
        "runs": whose(found),
        "made_of": made_of(found),
    }


def _recalls(found: PanelPredictions, own: RowPredictions) -> dict[int, dict[str, float | None]]:
    """By seed, the percent of each class's images that are right; None of a class without images."""
    right = own.predicted == found.label
    recalls: dict[int, dict[str, float | None]] = {seed: {} for seed in own.seeds}
    for place, name in enumerate(found.classes):
        of_class = found.label == place
        for seed, run in zip(own.seeds, right, strict=True):
            recalls[seed][name] = 100 * float(run[of_class].mean()) if of_class.any() else None
    return recalls


def _of_panel(found: PanelPredictions, baseline: str | None) -> dict[str, Any]:
    confusion = {own.row.name: own.confusion(found.label, len(found.classes)) for own in found.rows}
    shares = np.mean([confused_shares(counts) for counts in confusion.values()], axis=0)
    return {
        "panel": found.panel,
        "images": len(found.index),
        "networks": found.networks,
        "classes": list(found.classes),
        "left_out": found.left_out,
        "rows": [_row(found, own) for own in found.rows],
        "confused": [asdict(pair) for pair in most_confused(confusion, found.classes, PAIRS)],
        "clusters": clusters(shares, found.classes),
        "confusion": shares.round(3).tolist() if len(found.classes) <= MOST_CLASSES else None,
        "hardest": hardest(found),
        "label_candidates": label_candidates(found),
        "churn": _churn(found, baseline),
    }


def _row(found: PanelPredictions, own: RowPredictions) -> dict[str, Any]:
    return {
        "row": own.row.name,
        "title": own.row.title,
        "runs": [{"seed": seed, "recall": recall} for seed, recall in _recalls(found, own).items()],
    }


def _churn(found: PanelPredictions, baseline: str | None) -> dict[str, Any]:
    """`between`: the mean disagreement of every row with every other, in percent, its own seeds' on the diagonal;
    `rows`: each with its interval, beside the baseline, and beyond what seeds change."""
    rows = found.rows
    apart = [[disagreement(one.predicted, other.predicted) for other in rows] for one in rows]
    within = [churn_within(apart[i][i]) for i in range(len(rows))]
    between: list[list[float | None]] = [[float(pairs.mean()) for pairs in line] for line in apart]
    lines: list[dict[str, Any]] = []
    for i, (own, seeds) in enumerate(zip(rows, within, strict=True)):
        between[i][i] = None if seeds is None else seeds.value
        shown = None if seeds is None else _share(seeds.value, seeds.low, seeds.high)
        lines.append({"row": own.row.name, "title": own.row.title, "runs": len(own.seeds), "seeds": shown,
                      "baseline": None, "beyond": None})  # fmt: skip
    at = next((i for i, own in enumerate(rows) if own.row.name == baseline), None)
    others = [] if at is None else [i for i in range(len(rows)) if i != at]
    if at is not None and others:
        beyond = [_beyond(rows[i], rows[at], apart[i][i], apart[at][at], apart[i][at]) for i in others]
        decided = holm(np.array([test.p for test in beyond]))
        for place, (i, test) in enumerate(zip(others, beyond, strict=True)):
            beside = churn_between(apart[i][at])
            lines[i]["baseline"] = _share(beside.estimate, *beside.interval(1 - LEVEL))
            few = min(test.runs) < LEAST
            lines[i]["beyond"] = _interval(test, float(decided.level[place])) | {
                "p_adjusted": float(decided.p_adjusted[place]), "reason": test.reason,
                "verdict": "differs" if decided.rejected[place] else "too few seeds" if few else "undecided",
            }  # fmt: skip
    return {"rows": lines, "between": between}


def _share(estimate: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    """A percentage of images with its interval, which ends where there are no more."""
    return {
        "estimate": estimate,
        "low": None if low is None else max(0.0, low),
        "high": None if high is None else min(100.0, high),
    }


def _beyond(one: RowPredictions, other: RowPredictions, a: Any, b: Any, between: Any) -> PairTest:
    """Rows that start, seed by seed, from the same weights have no independent runs: no claim is made of them."""
    found = churn_beyond_seeds(a, b, between)
    if one.row.start is None or one.row.start != other.row.start:
        return found
    reason = "they start, seed by seed, from the same weights"
    return PairTest(found.estimate, None, found.method, found.assumption, reason, runs=found.runs)


def _interval(test: PairTest, level: float) -> dict[str, Any]:
    low, high = test.interval(level)
    return {"estimate": test.estimate, "low": low, "high": high}


def _in_words(differences: Sequence[dict[str, Any]]) -> str:
    """How many differences of recall were decided, and how many could not be."""
    if not differences:
        return "Recall of classes: nothing is compared: that takes predictions of the baseline and of another row."
    decided = sum(one["verdict"] in ("better", "worse") for one in differences)
    few = sum(one["verdict"] == "too few seeds" for one in differences)
    said = (
        f"Recall of classes beside the baseline: {decided:,} of {len(differences):,} differences decided, at a false "
        "discovery rate of 5 % (Benjamini and Hochberg)"
    )
    said += ": of these one in twenty may be false." if decided else "."
    return said + (f" {few:,} have too few seeds: three a row are the least." if few else "")
