"""Locks of open files between processes; the system frees them when their holder dies, however it dies."""

from __future__ import annotations

import importlib
import os
import time
from typing import Any, Final

from levelfield.system.platforms import WINDOWS

_BEYOND: Final = 2**30
"""Where Windows locks one byte: what it locks nobody else may read, so it must lie beyond all content."""
_AGAIN_S: Final = 0.05


def lock(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file for this process alone; closing it frees it. False where another holds it and `wait` is False.

    Advisory: it keeps only those away who ask for it. Raises OSError where the file system knows no locks.
    """
    return _with_msvcrt(descriptor, wait) if WINDOWS else _with_flock(descriptor, wait)


def _with_flock(descriptor: int, wait: bool) -> bool:
    fcntl: Any = importlib.import_module("fcntl")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _with_msvcrt(descriptor: int, wait: bool) -> bool:
    """Asks again and again while it waits: Windows' own way to wait gives up after ten seconds."""
    msvcrt: Any = importlib.import_module("msvcrt")
    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        while True:
            os.lseek(descriptor, _BEYOND, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except PermissionError:  # another holds it
                if not wait:
                    return False
                time.sleep(_AGAIN_S)
            else:
                return True
    finally:
        os.lseek(descriptor, place, os.SEEK_SET)
