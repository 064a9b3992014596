"""What a run's stored predictions say, reduced to what the audit compares."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from levelfield.evaluation import evaluate_probabilities
from levelfield.runs.compact import DECIMALS, FLOOR
from levelfield.tables.runs_of_row import Measured

TOP: Final = (1, 3, 5)


@dataclass(frozen=True)
class Tested:
    """`images`: how many predictions, `distinct`: of how many different test images. `which`, `labelled`: digests of
    the test indices and of the labels in the order of the indices. `right`: which are right, in that order, as bits
    (`numpy.packbits`). `content`: digest of the probabilities in that
    order. `top`: of top-1, -3 and -5 in percent the lowest and highest that the stored probabilities allow: several
    where classes are equal, and where a repository keeps three decimals (then only the first class is exact).
    `loss`, `brier`: the lowest and highest that they allow. `f1_macro`, `f1_weighted`, `ece` and `classes` (precision,
    recall, F1 and images of each): None where what is stored does not settle them.
    """

    images: int
    distinct: int
    which: str
    labelled: str
    content: str
    right: bytes
    top: dict[str, tuple[float, float]]
    loss: tuple[float, float]
    brier: tuple[float, float]
    f1_macro: float | None
    f1_weighted: float | None
    ece: float | None
    classes: tuple[tuple[float, float, float, int], ...] | None


def read_tested(run: Measured) -> Tested | None:
    """Read a finished run's predictions; None where it has none. Raises UserError for a damaged file."""
    found = run.predictions()
    if found is None or not len(found.index):
        return None
    order = np.argsort(found.index, kind="stable")
    p, label = found.probabilities, found.label
    scores = evaluate_probabilities(p, label)
    short = is_rounded(p)
    top = {f"top{k}": bounds(p, label, k, short) for k in TOP if k < p.shape[1]}
    settled = short or bool(((p == p.max(1, keepdims=True)).sum(1) == 1).all())
    exact = (scores.loss, scores.loss), (scores.calibration.brier, scores.calibration.brier)
    loss, brier = rounding(p, label) if short else exact
    return Tested(
        images=len(order),
        distinct=len(np.unique(found.index)),
        which=_digest(found.index[order]),
        labelled=_digest(label[order]),
        content=_digest(np.ascontiguousarray(p[order])),
        right=np.packbits((p.argmax(1) == label)[order]).tobytes(),
        top=top,
        loss=loss,
        brier=brier,
        f1_macro=scores.f1_macro if settled else None,
        f1_weighted=scores.f1_weighted if settled else None,
        ece=scores.calibration.ece if settled and not short else None,
        classes=tuple((c.precision, c.recall, c.f1, c.support) for c in scores.classes) if settled else None,
    )


def bounds(p: NDArray[np.float32], label: NDArray[np.int64], k: int, short: bool) -> tuple[float, float]:
    """The lowest and highest share, in percent, of labels among the first `k` classes of probabilities `p` (N, C).

    `short`: they are rounded, so that classes a step apart may have been in either order, the first aside.
    """
    rows = np.arange(len(p))
    first = p.argmax(1) == label
    if short and k == 1:
        share = 100 * float(first.mean())
        return share, share
    own = p[rows, label][:, None]
    reach = np.float32(1.01 * 10.0**-DECIMALS if short else 0.0)
    others = np.ones_like(p, dtype=bool)
    others[rows, label] = False
    surely = ((p > own + reach) & others).sum(1)
    perhaps = ((p >= own - reach) & others).sum(1)
    low = (perhaps < k) | (first & short)
    return 100 * float(low.mean()), 100 * float((surely < k).mean())


def rounding(p: NDArray[np.float32], label: NDArray[np.int64]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The lowest and highest loss and Brier score of the probabilities that `runs.compact.rounded` makes `p` of.

    What is kept as FLOOR may have been next to nothing, so that the loss has no highest value; the first class may have
    been put a step ahead.
    """
    rows, half = np.arange(len(p)), 0.505 * 10.0**-DECIMALS
    low, high = p.astype(np.float64) - half, np.minimum(p.astype(np.float64) + half, 1.0)
    low[rows, p.argmax(1)] -= 10.0**-DECIMALS
    low = np.where(p == FLOOR, 0.0, np.maximum(low, 0.0))
    with np.errstate(divide="ignore"):
        loss = [float(-np.log(bound[rows, label]).mean()) for bound in (high, low)]
    lowest, highest = low**2, high**2
    lowest[rows, label], highest[rows, label] = (1 - high[rows, label]) ** 2, (1 - low[rows, label]) ** 2
    return (loss[0], loss[1]), (float(lowest.sum(1).mean()), float(highest.sum(1).mean()))


def is_rounded(p: NDArray[np.float32]) -> bool:
    """Whether probabilities are kept in the compact form of a repository."""
    scaled = p * 10.0**DECIMALS
    return bool(np.all((np.abs(scaled - np.round(scaled)) < 1e-3) | (p == FLOOR)))


def _digest(array: NDArray[np.generic]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()
