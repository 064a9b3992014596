"""What a run's stored predictions say, reduced to what the audit compares."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from levelfield.evaluation import evaluate_probabilities
from levelfield.report.measured import Measured
from levelfield.studies.compact import DECIMALS, FLOOR

TOP: Final = (1, 3, 5)


@dataclass(frozen=True)
class Tested:
    """`images`: how many predictions, `distinct`: of how many different test images. `which`, `labelled`: digests of
    the test indices and of the labels in the order of the indices. `content`: digest of the probabilities in that
    order. `top`: of top-1, -3 and -5 in percent the lowest and highest that the stored probabilities allow: several
    where classes are equal, and where a repository keeps three decimals (then only the first class is exact).
    `loss`, `f1_macro`: None where what is stored does not settle them.
    """

    images: int
    distinct: int
    which: str
    labelled: str
    content: str
    top: dict[str, tuple[float, float]]
    f1_macro: float | None
    loss: float | None


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
    settled = top["top1"][0] == top["top1"][1] if top else False
    return Tested(
        images=len(order),
        distinct=len(np.unique(found.index)),
        which=_digest(found.index[order]),
        labelled=_digest(label[order]),
        content=_digest(np.ascontiguousarray(p[order])),
        top=top,
        f1_macro=scores.f1_macro if settled else None,
        loss=None if short else scores.loss,
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


def is_rounded(p: NDArray[np.float32]) -> bool:
    """Whether probabilities are kept in the compact form of a repository."""
    scaled = p * 10.0**DECIMALS
    return bool(np.all((np.abs(scaled - np.round(scaled)) < 1e-3) | (p == FLOOR)))


def _digest(array: NDArray[np.generic]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()
