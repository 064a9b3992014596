"""The distributions that decisions rest on, from `scipy.special`: importing `scipy.stats` takes longer than any table.

Tails are upper ones; `tests/statistics/test_distributions.py` holds every function to `scipy.stats`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special


def t_tail(t: float, dof: float) -> float:
    """P(T > `t`) of Student's t."""
    return float(special.stdtr(dof, -t))


def t_with_tail(tail: float, dof: float) -> float:
    """The t whose upper tail is `tail`."""
    return -float(special.stdtrit(dof, tail))


def noncentral_t_tail(t: float, dof: float, shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(T > `t`) of the noncentral t, elementwise over `shift`; nan far out, where the answer is 0 or 1."""
    return 1 - np.asarray(special.nctdtr(dof, shift, t), dtype=np.float64)


def normal_with_tail(tail: float) -> float:
    """The z whose upper tail is `tail`."""
    return -float(special.ndtri(tail))


def normal_density(z: ArrayLike) -> NDArray[np.float64]:
    """The standard normal's density, elementwise."""
    return np.exp(-(np.asarray(z, dtype=np.float64) ** 2) / 2) / math.sqrt(2 * math.pi)


def beta_quantile(share: float, a: float, b: float) -> float:
    """The x with P(X <= x) = `share` of the beta distribution."""
    return float(special.betaincinv(a, b, share))


def beta_with_tail(tail: float, a: float, b: float) -> float:
    """The x whose upper tail is `tail` of the beta distribution."""
    return float(special.betainccinv(a, b, tail))


def chi2_quantile(share: ArrayLike, dof: float) -> NDArray[np.float64]:
    """The x with P(X <= x) = `share` of chi squared, elementwise."""
    return np.asarray(2 * special.gammaincinv(dof / 2, np.asarray(share, dtype=np.float64)), dtype=np.float64)


def f_tail(f: float, above: float, below: float) -> float:
    """P(F > `f`) of the F distribution with `above` and `below` degrees of freedom."""
    return float(special.fdtrc(above, below, f))


def fair_coin_at_most(heads: int, tosses: int) -> float:
    """P(at most `heads` of `tosses`) of a fair coin."""
    return float(special.bdtr(heads, tosses, 0.5)) if tosses else 1.0
