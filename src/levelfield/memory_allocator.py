"""Keep freed memory instead of giving it back to the system, so that large tensors are not paged in anew each time.

glibc maps every block above a few MiB afresh and unmaps it when freed, and the kernel then clears each of its 4 KiB
pages at first touch. A training step allocates the same large activations again and again: where page faults are dear
(virtual machines, sandboxes), that costs more than the arithmetic.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
_left_alone = False


@contextmanager
def left_alone() -> Iterator[None]:
    """While it is entered, `keep_freed_memory` does nothing: the process is another program's."""
    global _left_alone
    before, _left_alone = _left_alone, True
    try:
        yield
    finally:
        _left_alone = before


def keep_freed_memory() -> bool:
    """Make this process's malloc serve all blocks from its heap and never shrink it. True where it took effect.

    For long-running work (training, timing): resident memory then stays at its peak. Only glibc (Linux) can do it; call
    it before the first large tensor is made. Results do not change.
    """
    if _left_alone or platform.system() != "Linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_MMAP_MAX, 0) == 1 and mallopt(_M_TRIM_THRESHOLD, -1) == 1
