"""A batch split into parts (`execution.micro_batch`): the same parts for any number of processes, as many on each.

With BatchNorm the parts are part of the result, and every process has to meet the others once a part: so the split is
one of the global batch, and a process takes its own rows of each part.
"""

from __future__ import annotations

from itertools import pairwise

from levelfield.errors import UserError


def part_bounds(size: int, micro_batch: int | None) -> list[int]:
    """Part k of a global batch of `size` images is its rows [bounds[k], bounds[k + 1]).

    As few parts as hold at most `micro_batch` images each (None: one part), their sizes equal but for one image: the
    short last batch of an epoch leaves no part of a single image, over which BatchNorm has nothing to normalise.
    """
    count = 1 if micro_batch is None else -(-size // micro_batch)
    return [size * part // count for part in range(count + 1)]


def own_parts(size: int, micro_batch: int | None, first: int, rank: int, world: int) -> list[slice]:
    """The rows of this rank's own batch that belong to each part, where position p of an epoch goes to rank p % world.

    `first`: the position in the epoch of the global batch's first image.
    """
    offset = (rank - first) % world  # this rank's first row in the global batch
    marks = [max(0, -(-(bound - offset) // world)) for bound in part_bounds(size, micro_batch)]
    return [slice(begin, end) for begin, end in pairwise(marks)]


def check_parts(train_size: int, batch_size: int, micro_batch: int | None, world: int) -> None:
    """Raise UserError where some part of some batch has fewer images than there are processes."""
    last = train_size % batch_size or batch_size
    if min(last, train_size) < world:
        raise UserError(
            f"the last batch of an epoch has {last} images for {world} processes; "
            f"change recipe.batch_size (now {batch_size}) or start fewer processes"
        )
    for size in (min(batch_size, train_size), last):
        bounds = part_bounds(size, micro_batch)
        smallest = min(end - begin for begin, end in pairwise(bounds))
        if smallest < world:
            raise UserError(
                f"execution.micro_batch {micro_batch} splits a batch of {size} images into parts of {smallest} "
                f"for {world} processes\nraise it to {2 * world} or more, or start fewer processes"
            )
