"""Where levelfield keeps what it derives: `LEVELFIELD_CACHE`, else the user's cache folder; never beside the data."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_dir() -> Path:
    """The cache folder: `LEVELFIELD_CACHE`, else the platform's user cache folder + `levelfield`."""
    if given := os.environ.get("LEVELFIELD_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "levelfield"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "levelfield"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; on success it is flushed and renamed to `path`, on failure removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
