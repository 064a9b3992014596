"""Each measure against a matrix whose answer is worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from levelfield.analysis.feature_ranks.rank_measures import (
    default_tolerance,
    effective_rank,
    nuclear_norm,
    numerical_rank,
    singular_values,
    singular_values_from_gram,
)

D = torch.float64

BY_HAND = {
    # matrix, singular values, rank, nuclear norm, effective rank
    "identity": ([[1, 0], [0, 1]], [1, 1], 2, 2.0, 2.0),
    "3-4-5 column": ([[3], [4]], [5], 1, 5.0, 1.0),
    "diagonal 3, 2, 0": ([[3, 0, 0], [0, 2, 0], [0, 0, 0]], [3, 2, 0], 2, 5.0, math.exp(0.6730116670092565)),
    "ones": ([[1, 1, 1], [1, 1, 1]], [math.sqrt(6), 0], 1, math.sqrt(6), 1.0),
    "rotation": ([[0.6, -0.8, 0], [0.8, 0.6, 0]], [1, 1], 2, 2.0, 2.0),
    "1 2; 2 1": ([[1, 2], [2, 1]], [3, 1], 2, 4.0, math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))),
    "zero": ([[0, 0], [0, 0]], [0, 0], 0, 0.0, 0.0),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_measures_by_hand(name: str) -> None:
    matrix, values, rank, nuclear, effective = BY_HAND[name]
    found = singular_values(torch.tensor(matrix, dtype=D))
    assert found.tolist() == pytest.approx(values, abs=1e-12)
    assert numerical_rank(found, default_tolerance(3, 3)).item() == rank
    assert nuclear_norm(found).item() == pytest.approx(nuclear)
    assert effective_rank(found).item() == pytest.approx(effective)


@pytest.mark.parametrize(("rows", "inner", "columns"), [(20, 3, 90), (90, 5, 20), (16, 16, 16), (40, 1, 41)])
def test_product_of_two_thin_matrices_has_the_inner_rank(rows: int, inner: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    product = torch.randn(rows, inner, dtype=D, generator=generator) @ torch.randn(
        inner, columns, dtype=D, generator=generator
    )
    values = singular_values(product)
    assert values.shape == (min(rows, columns),)
    assert numerical_rank(values, default_tolerance(rows, columns)).item() == inner


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**31))
def test_qr_first_gives_the_values_of_the_plain_decomposition(rows: int, columns: int, seed: int) -> None:
    matrix = torch.randn(2, rows, columns, dtype=D, generator=torch.Generator().manual_seed(seed))
    values = singular_values(matrix)
    torch.testing.assert_close(values, torch.linalg.svdvals(matrix), rtol=1e-10, atol=1e-12)
    assert bool((numerical_rank(values, 1e-10) <= min(rows, columns)).all())
    assert bool((effective_rank(values) <= min(rows, columns) + 1e-9).all())


def test_tolerance_decides_what_counts_as_zero() -> None:
    values = singular_values(torch.diag(torch.tensor([1.0, 1e-4, 1e-9], dtype=D)))
    assert [numerical_rank(values, tolerance).item() for tolerance in (1e-12, 1e-6, 1e-3)] == [3, 2, 1]


def test_gram_agrees_down_to_half_the_digits() -> None:
    wanted = torch.tensor([1.0, 1e-2, 1e-5], dtype=D)
    q = torch.linalg.qr(torch.randn(50, 3, dtype=D, generator=torch.Generator().manual_seed(0))).Q
    matrix = wanted[:, None] * q.T
    torch.testing.assert_close(singular_values_from_gram(matrix @ matrix.T), wanted, rtol=1e-4, atol=0.0)
