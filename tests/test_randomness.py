"""Counter-based randomness: uniform, independent across neighbouring coordinates, fixed for ever."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from scipy import stats

from levelfield import randomness

INDEX = torch.arange(4000)
GOLDEN_KEY = 3024064692093481769
GOLDEN_BITS = [
    [3719042051336984618, 7171134143464185915],
    [-1082837615335802690, -2701564485039458391],
    [-4847199172329928365, -3644501824632331679],
]
GOLDEN_PERMUTATION = [0, 6, 4, 2, 1, 7, 5, 3]


def test_golden_values() -> None:
    index = torch.tensor([0, 1, 2**40])
    assert randomness.key(1, "order", 2) == GOLDEN_KEY
    assert randomness.bits(1, "order", 2, index, 2).tolist() == GOLDEN_BITS
    assert randomness.permutation(8, 1, "order", 0).tolist() == GOLDEN_PERMUTATION


def test_mix64_is_splitmix64() -> None:
    # the generator's published first outputs for seed 1234567 (state advanced by the golden gamma before mixing)
    state, outputs = 1234567, []
    for _ in range(5):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        signed = state - 2**64 if state >= 2**63 else state
        outputs.append(randomness.mix64(torch.tensor([signed])).item() % 2**64)
    assert outputs == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821
    ]  # fmt: skip


@pytest.mark.parametrize("vary", ["index", "k", "epoch", "seed", "stream"])
def test_uniform_along_every_coordinate(vary: str) -> None:
    one = torch.tensor([5])
    draws = {
        "index": lambda: randomness.uniform(0, "s", 0, INDEX)[:, 0],
        "k": lambda: randomness.uniform(0, "s", 0, one, 4000)[0],
        "epoch": lambda: torch.cat([randomness.uniform(0, "s", e, one)[0] for e in range(1000)]),
        "seed": lambda: torch.cat([randomness.uniform(s, "s", 0, one)[0] for s in range(1000)]),
        "stream": lambda: torch.cat([randomness.uniform(0, f"s{n}", 0, one)[0] for n in range(1000)]),
    }[vary]()
    assert draws.min() >= 0 and draws.max() < 1
    assert stats.kstest(draws.numpy(), "uniform").pvalue > 1e-3
    assert abs(torch.corrcoef(torch.stack([draws[:-1], draws[1:]]))[0, 1]) < 4 / len(draws) ** 0.5


def test_neighbouring_counters_are_independent() -> None:
    """Pairs (index, index + 1), (k, k + 1), two epochs and two streams fill an 8 x 8 grid evenly."""
    base = randomness.uniform(3, "a", 1, INDEX, 2)
    others = {
        "index": randomness.uniform(3, "a", 1, INDEX + 1, 2)[:, 0],
        "k": base[:, 1],
        "epoch": randomness.uniform(3, "a", 2, INDEX)[:, 0],
        "stream": randomness.uniform(3, "b", 1, INDEX)[:, 0],
        "seed": randomness.uniform(4, "a", 1, INDEX)[:, 0],
    }
    for name, other in others.items():
        cells = (base[:, 0] * 8).long() * 8 + (other * 8).long()
        assert stats.chisquare(torch.bincount(cells, minlength=64).numpy()).pvalue > 1e-3, name


def test_every_bit_flips_half_of_the_time() -> None:
    words = randomness.bits(0, "s", 0, INDEX)[:, 0]
    neighbours = randomness.bits(0, "s", 0, INDEX + 1)[:, 0]
    flips = torch.stack([((words ^ neighbours) >> bit & 1).float().mean() for bit in range(64)])
    assert (flips - 0.5).abs().max() < 0.05


def test_a_draw_alone_equals_the_draw_in_a_batch() -> None:
    whole = randomness.bits(9, "s", 4, INDEX[:50], 3)
    for row in (0, 17, 49):
        assert torch.equal(randomness.bits(9, "s", 4, INDEX[row : row + 1], 3)[0], whole[row])
    assert torch.equal(randomness.bits(9, "s", 4, INDEX[:50], 8)[:, :3], whole)  # more draws leave the first ones


def test_integers_are_even_and_bounded() -> None:
    draws = randomness.integers(0, "s", 0, INDEX, 14, 2).flatten()
    assert stats.chisquare(torch.bincount(draws, minlength=14).numpy()).pvalue > 1e-3
    assert draws.max() == 13
    assert (randomness.integers(0, "s", 0, INDEX, 1) == 0).all()
    for high in (0, 2**31 + 1):
        with pytest.raises(ValueError, match="high must be"):
            randomness.integers(0, "s", 0, INDEX, high)


def test_normal_is_standard_normal() -> None:
    draws = randomness.normal(0, "s", 0, INDEX, 2)
    assert stats.kstest(draws.flatten().numpy(), "norm").pvalue > 1e-3
    assert abs(torch.corrcoef(draws.T)[0, 1]) < 0.06


def test_a_permutation_is_one_and_changes_with_every_coordinate() -> None:
    coordinates = [(0, "order", 0), (0, "order", 1), (1, "order", 0), (0, "other", 0)]
    orders = [tuple(randomness.permutation(500, *c).tolist()) for c in coordinates]
    assert all(sorted(order) == list(range(500)) for order in orders)
    assert len(set(orders)) == 4
    assert tuple(randomness.permutation(500, 0, "order", 0).tolist()) == orders[0]
    firsts = torch.tensor([randomness.permutation(5, 0, "order", e)[0].item() for e in range(1000)])
    assert stats.chisquare(torch.bincount(firsts, minlength=5).numpy()).pvalue > 1e-3


def test_every_generator_is_reseeded_by_seed_step_and_rank() -> None:
    def draw(*where: int) -> tuple[float, ...]:
        randomness.seed_model(*where)
        return float(torch.rand(())), random.random(), float(np.random.rand())

    assert draw(1, 2, 0) == draw(1, 2, 0)
    for draws in zip(draw(1, 2, 0), draw(1, 3, 0), draw(1, 2, 1), draw(2, 2, 0), strict=True):
        assert len(set(draws)) == 4
