"""How many directions a matrix of features really uses: rank, nuclear norm, effective rank.

A feature matrix F has a row per channel and a column per position, (d, N). All measures are functions of its singular
values, so these are computed once, in float64. Leading dimensions are a batch of matrices.

- numerical rank: the number of singular values above ``tolerance * largest`` (Golub and Van Loan, section 5.4.1; the
  default tolerance is that of LAPACK's users and of ``torch.linalg.matrix_rank``: max(d, N) times the machine epsilon).
- nuclear norm: the sum of the singular values, the convex envelope of the rank (Fazel, 2002).
- effective rank: exp of the entropy of the singular values taken as a distribution (Roy and Vetterli, EUSIPCO 2007).
"""

from __future__ import annotations

import torch
from torch import Tensor


def singular_values(matrix: Tensor) -> Tensor:
    """Singular values of `matrix` (..., d, N), any float type, as float64 (..., min(d, N)), largest first.

    The longer side is first folded away by a QR decomposition, which leaves the values as they are: up to twice as
    fast for wide feature matrices, and as exact as a direct decomposition (a Gram matrix would square the condition).
    """
    matrix = matrix.to(torch.float64)
    if matrix.shape[-1] > matrix.shape[-2]:
        matrix = matrix.mT
    if matrix.shape[-2] > matrix.shape[-1]:
        matrix = torch.linalg.qr(matrix, mode="r").R
    values: Tensor = torch.linalg.svdvals(matrix)
    return values


def singular_values_from_gram(gram: Tensor) -> Tensor:
    """Singular values of F from its float64 Gram matrix F Fᵀ (..., d, d), largest first.

    Squaring halves the digits: values below about 1e-7 of the largest are noise. Good enough where F itself was
    computed in float32, whose own rounding is coarser; not for the float64 study.
    """
    squares: Tensor = torch.linalg.eigvalsh(gram)
    return squares.clamp_min(0.0).sqrt().flip(-1)


def default_tolerance(rows: int, columns: int) -> float:
    """The relative size under which a singular value of a (rows, columns) matrix counts as zero."""
    return max(rows, columns) * torch.finfo(torch.float64).eps


def numerical_rank(values: Tensor, tolerance: float) -> Tensor:
    """How many singular `values` (..., k) exceed `tolerance` times the largest: int64 (...), 0 for a zero matrix."""
    return (values > tolerance * values[..., :1]).sum(-1)


def nuclear_norm(values: Tensor) -> Tensor:
    """The sum of the singular `values` (..., k), float64 (...)."""
    return values.sum(-1)


def effective_rank(values: Tensor) -> Tensor:
    """exp(-Σ p log p), p the singular `values` (..., k) over their sum: between 1 and the rank; 0 for a zero matrix."""
    total = values.sum(-1, keepdim=True)
    share = torch.where(total > 0, values / total, 0.0)
    return torch.where(total[..., 0] > 0, torch.special.entr(share).sum(-1).exp(), 0.0)
