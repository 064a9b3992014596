"""Where a named data set is: built in, in the data folder in any known form, at a path of one's own, or imported."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from levelfield.data import catalog
from levelfield.data.readers import digits, parquet
from levelfield.data.records import Found
from levelfield.errors import UserError, unknown


def data_folder(data_dir: Path | str | None) -> Path | None:
    """`data_dir`, else the environment's `LEVELFIELD_DATA`, else None."""
    given = data_dir or os.environ.get("LEVELFIELD_DATA")
    return Path(given).expanduser() if given else None


def find(name: str, data_dir: Path | str | None = None) -> Found:
    """The data set called `name`, or at `folder:PATH` or `parquet:PATH`.

    Raises UserError for an unknown name, a missing data folder or a set that is not there, each with the remedy.
    """
    prefix, colon, path = name.partition(":")
    if colon and prefix in ("folder", "parquet"):
        return _own(prefix, Path(path).expanduser())
    known = catalog.entry(name)
    if known is not None and known.name == "digits":
        return Found("digits", "built in", None, hashlib.sha256(b"digits 1").hexdigest(), digits.read)
    root = data_folder(data_dir)
    if root is not None and root.is_dir():
        for folder in _candidates(root, name, known):
            if (found := recognise(folder, known.name if known else folder.name)) is not None:
                return found
    if known is None:
        raise unknown("data set", name, available(data_dir), "or your own: folder:PATH (class folders), parquet:PATH")
    raise _missing(known, root)


def available(data_dir: Path | str | None = None) -> list[str]:
    """All names that `find` may know: those of the catalog and the folders below the data folder."""
    root = data_folder(data_dir)
    names = {dataset.name for dataset in catalog.DATASETS}
    if root is not None and root.is_dir():
        for folder in sorted(path for path in root.iterdir() if path.is_dir()):
            if catalog.entry(folder.name) is None and recognise(folder, folder.name) is not None:
                names.add(folder.name)
    return sorted(names)


def recognise(folder: Path, name: str) -> Found | None:
    """The data set in `folder`, whatever known form it has, or None."""
    if parquet.shards(folder):
        files = [file for shards in parquet.shards(folder).values() for file in shards]
        return Found(name, "parquet", folder, _fingerprint(files), lambda: parquet.read(folder))
    return None


def _own(prefix: str, path: Path) -> Found:
    if not path.is_dir():
        raise UserError(f"no folder {str(path)!r} (from {prefix}:{path})")
    found = recognise(path, path.resolve().name)
    if found is None:
        raise UserError(
            f"{path}: no data set in a known form\n"
            "expected train/<class>/*.jpg and test/<class>/*.jpg, or train*.parquet and test*.parquet"
        )
    return found


def _candidates(root: Path, name: str, known: catalog.Dataset | None) -> list[Path]:
    wanted = {catalog.key(name)}
    if known is not None:
        wanted |= {catalog.key(known.name), *(catalog.key(folder) for folder in known.folders)}
    below = sorted(path for path in root.iterdir() if path.is_dir() and catalog.key(path.name) in wanted)
    return below + ([root] if catalog.key(root.name) in wanted else [])


def _missing(known: catalog.Dataset, root: Path | None) -> UserError:
    how = (
        f"get it with `levelfield data get {known.name}`, or" if known.downloads else f"{known.manual};"
    ) + " name the folder that holds it: --data-dir or LEVELFIELD_DATA"
    if root is None:
        return UserError(f"no data folder is given, and {known.name} is not imported\n{how}")
    if not root.is_dir():
        return UserError(f"the data folder {str(root)!r} does not exist\n{how}")
    return UserError(f"no {known.name} in the data folder {str(root)!r}\n{how}")


def _fingerprint(files: Iterable[Path]) -> str:
    """A digest over the absolute paths, sizes and times of change of `files`."""
    state = hashlib.sha256()
    for file in files:
        facts = file.stat()
        state.update(f"{file.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return state.hexdigest()
