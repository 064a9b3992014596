"""Of several processes that want the same part of a store one makes it, and all others wait for that."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from levelfield.data.cache_folder import only_one
from levelfield.progress import OnProgress


def one_builder(folder: Path, name: str, progress: OnProgress | None) -> AbstractContextManager[None]:
    """Hold the lock of the store in `folder`, of the data set `name`; waiting for it is said through `progress`."""
    if progress is None:
        return only_one(folder)
    return only_one(folder, lambda: progress(f"{name}: waiting for another process that decodes it", 0, 1))
