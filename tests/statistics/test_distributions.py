"""Every distribution function is the one of `scipy.stats`, over all that decisions ask of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from levelfield.statistics import distributions as ours
from levelfield.statistics import probability_of_beating

DOF = [1, 2, 3.7, 8, 30, 411.5, 2000]
TAILS = [0.4, 0.1, 0.025, 0.0005, 1e-6, 1e-9]
EQUAL = {"rel": 1e-9, "abs": 1e-15}


@pytest.mark.parametrize("dof", DOF)
def test_students_t(dof: float) -> None:
    for t in (0.0, 0.3, 1.96, 7.0, 60.0):
        assert ours.t_tail(t, dof) == pytest.approx(stats.t.sf(t, dof), **EQUAL)
    for tail in TAILS:
        assert ours.t_with_tail(tail, dof) == pytest.approx(stats.t.isf(tail, dof), rel=1e-7)


@pytest.mark.parametrize("dof", DOF)
def test_noncentral_t(dof: float) -> None:
    """Where either gives nan, far out, `power.py` says 0 or 1."""
    shift = np.array([0.0, 0.05, 0.7, 2.5, 6.0, 20.0])
    for critical in (1.96, 3.1, 12.7):
        found, stated = ours.noncentral_t_tail(critical, dof, shift), stats.nct.sf(critical, dof, shift)
        known = np.isfinite(found) & np.isfinite(stated)
        assert known.sum() >= 4
        np.testing.assert_allclose(found[known], stated[known], atol=1e-9)


def test_normal_beta_chi2_f_and_coin() -> None:
    for tail in TAILS:
        assert ours.normal_with_tail(tail) == pytest.approx(stats.norm.isf(tail), **EQUAL)
        for a, b in ((1, 50), (17, 3.0), (9000, 1001)):
            assert ours.beta_quantile(tail, a, b) == pytest.approx(stats.beta.ppf(tail, a, b), **EQUAL)
            assert ours.beta_with_tail(tail, a, b) == pytest.approx(stats.beta.isf(tail, a, b), **EQUAL)
    np.testing.assert_allclose(ours.normal_density([-3.0, 0.0, 1.5]), stats.norm.pdf([-3.0, 0.0, 1.5]), rtol=1e-12)
    for dof in DOF:
        np.testing.assert_allclose(ours.chi2_quantile([0.01, 0.5, 0.99], dof), stats.chi2.ppf([0.01, 0.5, 0.99], dof))
        assert ours.f_tail(3.3, 4, dof) == pytest.approx(stats.f.sf(3.3, 4, dof), **EQUAL)
    for heads, tosses in ((0, 0), (0, 1), (3, 9), (140, 311)):
        assert ours.fair_coin_at_most(heads, tosses) == pytest.approx(stats.binom.cdf(heads, tosses, 0.5), **EQUAL)


def test_a_beats_b_as_mann_whitney_counts() -> None:
    a, b = [91.2, 90.0, 93.1, 90.0], [90.0, 91.5, 89.9]
    assert probability_of_beating(a, b) == pytest.approx(stats.mannwhitneyu(a, b).statistic / 12)
