"""The decoded data sets in the cache: how large each is, and why nothing may read it any more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from levelfield.data.cache_folder import lock_of
from levelfield.data.sources.locate import find, imports
from levelfield.data.sources.recognise_format import recognise
from levelfield.data.store.store import FORMAT, folder_of, stores_folder
from levelfield.errors import UserError
from levelfield.system.locks import lock


@dataclass(frozen=True)
class StoredSet:
    """One folder of decoded images. `stale`: why nothing reads it any more, "" where a command may.

    `only_copy`: what was imported from it is gone or has changed, so that it could not be decoded again.
    """

    folder: Path
    name: str
    mib: float
    stale: str
    only_copy: bool = False


def stored_sets() -> list[StoredSet]:
    """All decoded sets but those that another process is making now, the largest first."""
    folders = [path for path in stores_folder().iterdir() if path.is_dir()] if stores_folder().is_dir() else []
    found = [_looked_at(folder) for folder in folders if not _being_made(folder)]
    return sorted(found, key=lambda each: (-each.mib, each.folder.name))


def remove(chosen: Iterable[StoredSet]) -> float:
    """Remove the folders; the MiB that are free now. One that cannot be removed raises UserError."""
    freed = 0.0
    for each in chosen:
        try:
            shutil.rmtree(each.folder)
            lock_of(each.folder).unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"cannot remove {each.folder}: {error.strerror}\nend what reads it, and repeat") from None
        freed += each.mib
    return freed


def _looked_at(folder: Path) -> StoredSet:
    mib = sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) / 2**20
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        name, path, version = str(index["name"]), index["path"], index["format"]
    except (OSError, ValueError, KeyError):
        return StoredSet(folder, folder.name, mib, "it was not finished")
    if version != FORMAT:
        return StoredSet(folder, name, mib, "another version of levelfield made it")
    stale = _of_other_images(folder, name, path)
    only_copy = bool(stale) and _is_imported(folder, name)
    return StoredSet(folder, name, mib, "" if only_copy else stale, only_copy)


def _of_other_images(folder: Path, name: str, path: str | None) -> str:
    """Why no decoding of what is at `path` would lead to this folder; "" where one would."""
    if path is not None and not Path(path).is_absolute():
        return ""  # of whatever folder that was
    try:
        now = find(name) if path is None else recognise(Path(path), name)
    except (OSError, UserError):
        now = None
    if now is None:
        return f"no data set is at {path}" if path is not None else f"{name} is not built in"
    its = (folder_of(now, "fail"), folder_of(now, "skip"))
    return "" if folder in its else f"what is at {path or name} has changed since"


def _is_imported(folder: Path, name: str) -> bool:
    """Whether `name` was imported (`levelfield data import`) and stands for what is decoded here."""
    try:
        facts = json.loads((imports() / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return f"-{facts['fingerprint'][:16]}-" in folder.name


def _being_made(folder: Path) -> bool:
    """Whether a process holds the lock under which a set is decoded (`cache_folder.only_one`)."""
    try:
        with lock_of(folder).open("rb+") as file:
            return not lock(file.fileno(), wait=False)
    except OSError:
        return False
