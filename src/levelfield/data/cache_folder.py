"""Where levelfield keeps what it derives: `LEVELFIELD_CACHE`, else the user's cache folder; never beside the data."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from levelfield.errors import UserError
from levelfield.progress import OnProgress
from levelfield.system.files import rename
from levelfield.system.locks import lock
from levelfield.system.platforms import MACOS, WINDOWS

_NO_ROOM: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""A full disk, an exhausted quota, a file larger than the file system or the process may have."""


def cache_dir() -> Path:
    """The cache folder: `LEVELFIELD_CACHE`, else the platform's user cache folder + `levelfield`."""
    if given := os.environ.get("LEVELFIELD_CACHE"):
        return Path(given).expanduser()
    if MACOS:
        return Path.home() / "Library" / "Caches" / "levelfield"
    if WINDOWS and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "levelfield" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "levelfield"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; on success it is flushed and renamed to `path`, on failure removed.

    Raises UserError where the disk has no room for what is written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        rename(temporary, path)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise no_room(path.parent, error.strerror or str(error)) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def no_room(folder: Path, why: str) -> UserError:
    return UserError(
        f"no room in {folder}: {why}\n"
        "make room (levelfield data clean removes what is not read any more), or set LEVELFIELD_CACHE to a larger disk"
    )


def lock_of(path: Path) -> Path:
    """The file whose lock `only_one` holds while `path` is made."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def only_one(path: Path, name: str = "", progress: OnProgress | None = None) -> Iterator[None]:
    """Hold the lock of `path`, which is to be made: processes (and threads) that want to make it too wait for it.

    That they wait for the data set `name` is said through `progress`. The lock is the system's (on a file beside
    `path`), so that it ends with its holder, killed or not. What a killed holder left half written below `path` or
    beside it is removed. File systems without locks go without: the result is the same, made more than once.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = lock_of(path).open("w", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"the cache folder {path.parent} cannot be written: {error.strerror}\nset LEVELFIELD_CACHE"
        ) from None
    with file:
        try:
            if not lock(file.fileno(), wait=False):
                if progress is not None:
                    progress(f"{name}: waiting for another process that decodes it", 0, 1)
                lock(file.fileno(), wait=True)
        except OSError:
            yield
            return
        for left in (*path.glob(".*.tmp"), *path.parent.glob(f".{path.name}.*.tmp")):
            with suppress(OSError):
                left.unlink()
        yield
