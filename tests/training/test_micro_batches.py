"""Batches split into parts over one and more processes, counted by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from levelfield.errors import UserError
from levelfield.training.micro_batches import check_parts, own_parts, part_bounds

SPLITS = [(size, micro) for micro in (None, 3, 8, 16) for size in (16, 17, 31, 32, 48)]


@pytest.mark.parametrize(("size", "micro"), SPLITS)
def test_parts_cover_the_batch_are_as_few_as_can_be_and_nearly_equal(size: int, micro: int | None) -> None:
    bounds = part_bounds(size, micro)
    sizes = [end - begin for begin, end in pairwise(bounds)]
    assert bounds[0] == 0 and sum(sizes) == size and max(sizes) - min(sizes) <= 1
    assert max(sizes) <= (micro or size) and (len(sizes) - 1) * (micro or size) < size


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize(("size", "micro"), SPLITS)
def test_the_ranks_parts_together_are_those_of_one_process(size: int, micro: int | None, world: int) -> None:
    for first in range(4):
        rows = {  # the rows of the global batch that each rank holds, in its order
            rank: [row for row in range(size) if (first + row) % world == rank] for rank in range(world)
        }
        parts = {rank: own_parts(size, micro, first, rank, world) for rank in range(world)}
        bounds = part_bounds(size, micro)
        assert {len(own) for own in parts.values()} == {len(bounds) - 1}
        for number, (begin, end) in enumerate(pairwise(bounds)):
            together = [row for rank in range(world) for row in rows[rank][parts[rank][number]]]
            assert sorted(together) == list(range(begin, end))


@pytest.mark.parametrize(
    ("train", "batch", "micro", "world", "message"),
    [
        (65, 32, None, 2, "last batch of an epoch has 1 images for 2 processes"),
        (200, 32, 2, 4, "micro_batch 2 splits a batch of 32 images into parts of 2 for 4 processes\nraise it to 8"),
        (33 * 4 + 5, 33, 3, 3, "splits a batch of 5 images into parts of 2 for 3 processes"),
    ],
)
def test_parts_smaller_than_the_number_of_processes_are_refused(
    train: int, batch: int, micro: int | None, world: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_parts(train, batch, micro, world)


@pytest.mark.parametrize(("micro", "world"), [(None, 1), (1, 1), (8, 2), (16, 8)])
def test_what_fits_is_let_through(micro: int | None, world: int) -> None:
    check_parts(209, 32, micro, world)
