"""Open files read and written at a place, renamed while they are open, and made to last."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import BinaryIO, Final

from levelfield.system.platforms import WINDOWS

_HELD_S: Final = 5.0
"""How long a rename on Windows waits for a reader of its target (a virus scanner, an editor) to let go of it."""
_one_place = threading.Lock()


def open_descriptor(path: Path, flags: int) -> int:
    """`os.open` of bytes: Windows would turn line ends over. A new file may be read by all and written by its owner."""
    return os.open(path, flags | getattr(os, "O_BINARY", 0), 0o644)


def read_at(descriptor: int, size: int, place: int) -> bytes:
    """Up to `size` bytes from `place` on, in any number of threads; the file's own position does not count."""
    if pread := getattr(os, "pread", None):
        found: bytes = pread(descriptor, size, place)
        return found
    with _one_place:
        os.lseek(descriptor, place, os.SEEK_SET)
        return os.read(descriptor, size)


def write_whole(descriptor: int, content: bytes) -> None:
    """Make `content` all that the file holds."""
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, content)


def rename_open(file: BinaryIO, path: Path) -> None:
    """Give the file that is open the name `path`, in one step and with its lock still held. Windows renames no open
    file: there it is closed before."""
    if WINDOWS:
        file.close()
    rename(Path(file.name), path)


def rename(source: Path, target: Path) -> None:
    """`source` becomes `target`, in one step, whether there was one or not.

    Windows refuses while somebody has the target open; it is asked again for a few seconds. Raises OSError.
    """
    until = time.monotonic() + _HELD_S
    while True:
        try:
            source.replace(target)
            return
        except PermissionError:
            if not WINDOWS or time.monotonic() > until:
                raise
            time.sleep(0.05)


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk. Windows opens no folder, and writes names through by itself."""
    if WINDOWS:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
