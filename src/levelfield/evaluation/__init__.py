"""Scores of predictions: logits and labels in, loss, top-k, per-class report, confusion and calibration out."""

from levelfield.evaluation.counts import Counts, evaluate_logits, evaluate_probabilities
from levelfield.evaluation.scores import Scores

__all__ = [
    "Counts",
    "Scores",
    "evaluate_logits",
    "evaluate_probabilities",
]
