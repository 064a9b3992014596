"""Scores of predictions: logits and labels in, loss, top-k, per-class report, confusion and calibration out.

`Counts`, in `counts.py`, counts logits on a device; what is here takes numbers that are stored already, without torch.
"""

from levelfield.evaluation.scores import Scores
from levelfield.evaluation.tally import Tally, evaluate_probabilities, tally_probabilities

__all__ = [
    "Scores",
    "Tally",
    "evaluate_probabilities",
    "tally_probabilities",
]
