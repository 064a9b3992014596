"""A process forked off this one, and SIGTERM held back around that. Where `MAY_FORK` is false nobody calls them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

MAY_FORK: Final[bool] = sys.platform.startswith("linux")
"""macOS's libraries do not bear it once they are loaded, and Windows has none."""
_os: Any = os
_signal: Any = signal


def fork() -> int:
    """0 in the new process; its number in this one."""
    number: int = _os.fork()
    return number


def end_with_parent() -> None:
    """In a forked process: SIGTERM comes where the process that forked it ends, killed or not."""
    parent_death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(parent_death_signal, int(signal.SIGTERM))


@contextmanager
def once_a_second(look: Callable[[], bool]) -> Iterator[None]:
    """Call `look` every second, in the main thread, until it is False; what is forked meanwhile has no such timer."""

    def came(number: int, frame: FrameType | None) -> None:
        if not look():
            _signal.setitimer(_signal.ITIMER_REAL, 0.0)

    _signal.signal(_signal.SIGALRM, came)
    _signal.setitimer(_signal.ITIMER_REAL, 1.0, 1.0)
    try:
        yield
    finally:
        _signal.setitimer(_signal.ITIMER_REAL, 0.0)


def hold_back_sigterm() -> None:
    """A SIGTERM that comes waits, until `let_sigterm_through`."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, {signal.SIGTERM})


def let_sigterm_through() -> None:
    """What has waited comes now."""
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {signal.SIGTERM})
