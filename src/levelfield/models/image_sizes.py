"""Images of a size that a built-in network cannot take: told as such, with a size that it can."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Final

import torch
from torch import nn

from levelfield.errors import UserError
from levelfield.models.users_code import MISFIT, cause
from levelfield.module_mode import evaluation_mode

LARGEST: Final = 256
"""The side in px up to which a size that fits is looked for."""
_MISFIT: Final = (*MISFIT, ZeroDivisionError)


def cannot_take(error: Exception, name: str, build: Callable[[int], nn.Module], side_px: int) -> UserError | None:
    """`error`, raised by `build(side_px)` or by what it made of such images, as one of their size.

    None where the network takes them, or takes no other size: then something else is wrong. Looked at on the meta
    device, and only after an error: torch takes seconds to load what that needs.
    """
    if not isinstance(error, _MISFIT) or isinstance(error, UserError) or _fits(build, side_px):
        return None
    sizes = chain(range(side_px + 1, LARGEST + 1), range(side_px - 1, 0, -1))
    if (fits := next((side for side in sizes if _fits(build, side)), None)) is None:
        return None
    return UserError(
        f"model {name!r} cannot take images of {side_px} px ({cause(error)})\n"
        f"it can take {fits} px: set data.image_size={fits}, or give --image-size {fits}"
    )


def _fits(build: Callable[[int], nn.Module], side_px: int) -> bool:
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
            network = build(side_px)
            with evaluation_mode(network):
                network(torch.empty(1, 3, side_px, side_px))
    except (UserError, *_MISFIT):
        return False
    return True
