"""Where a named data set is: built in, in the data folder in any known form, at a path of one's own, or imported."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from levelfield.data.cache_folder import cache_dir, replacing
from levelfield.data.sources import catalog
from levelfield.data.sources.readers import digits
from levelfield.data.sources.readers.contract import Found, Source
from levelfield.data.sources.recognise_format import ARCHIVES, DATASETS, official_form, recognise
from levelfield.data.sources.unrecognised import may_not_be_read, unrecognised
from levelfield.errors import UserError, nearest, unknown


def data_folder(data_dir: Path | str | None) -> Path | None:
    """`data_dir`, else the environment's `LEVELFIELD_DATA`, else None."""
    given = data_dir or os.environ.get("LEVELFIELD_DATA")
    return Path(given).expanduser() if given else None


def find(name: str, data_dir: Path | str | None = None) -> Found:
    """The data set called `name`, or at `folder:PATH` or `parquet:PATH`.

    Raises UserError for an unknown name, a missing data folder or a set that is not there, each with the remedy.
    """
    prefix, colon, own = name.partition(":")
    if colon and prefix in ("folder", "parquet"):
        return _own(prefix, Path(own).expanduser())
    known = catalog.entry(name)
    if known is not None and known.name == "digits":
        return Found("digits", "built in", None, hashlib.sha256(b"digits 2").hexdigest(), digits.read)
    root = data_folder(data_dir)
    for place in (root, downloads()):
        if place is not None and place.is_dir():
            for path in _candidates(place, name, known):
                if (found := recognise(path, known.name if known else path.name)) is not None:
                    return found
    if (found := _imported(known.name if known else name)) is not None:
        return found
    if known is None and name and Path(name).expanduser().is_dir():
        raise UserError(f"{name} is a folder: name it folder:{name} (class folders) or parquet:{name}")
    if known is None:
        raise unknown("data set", name, available(data_dir), "or your own: folder:PATH (class folders), parquet:PATH")
    raise _missing(known, root)


def downloads() -> Path:
    """Where `levelfield data get` puts archives when no data folder is given."""
    return cache_dir() / "downloads"


def imports() -> Path:
    """Where `levelfield data import` remembers what a name stands for."""
    return cache_dir() / "imported"


def available(data_dir: Path | str | None = None) -> dict[str, str | None]:
    """All names that `find` may know, each with where it is found (None: not yet)."""
    root = data_folder(data_dir)
    names: dict[str, str | None] = {dataset.name: None for dataset in catalog.DATASETS}
    if root is not None and root.is_dir():
        for folder in sorted(path for path in root.iterdir() if path.is_dir()):
            if catalog.entry(folder.name) is None and recognise(folder, folder.name) is not None:
                names[folder.name] = str(folder)
    names |= {file.stem: None for file in sorted(imports().glob("*.json")) if file.stem not in names}
    for name in names:
        try:
            found = find(name, data_dir)
            names[name] = str(found.path) if found.path else found.form
        except UserError:
            continue
    return names


def remember(name: str, found: Found) -> None:
    """Let `name` stand for `found`, which is in the store, from now on."""
    facts = {"form": found.form, "path": str(found.path), "fingerprint": found.fingerprint}
    with replacing(imports() / f"{name}.json") as path:
        path.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _imported(name: str) -> Found | None:
    try:
        facts = json.loads((imports() / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    path = Path(facts["path"])
    again = recognise(path, name)
    if again is not None and again.fingerprint == facts["fingerprint"]:
        return again

    def gone() -> Source:
        raise UserError(
            f"{name} was imported from {path}, which has changed or gone; its store lacks what is asked for now\n"
            f"import it again: levelfield data import {name} --from PATH"
        )

    return Found(name, facts["form"], path, facts["fingerprint"], gone)


def _own(prefix: str, path: Path) -> Found:
    if not path.is_dir():
        try:
            close = nearest(path.name, (beside.name for beside in path.parent.iterdir() if beside.is_dir()))
        except OSError:  # no such folder, or none that may be read
            close = []
        meant = f": did you mean {' or '.join(f'{prefix}:{path.parent / name}' for name in close)}?" if close else ""
        holds = "class folders, or train and test of such" if prefix == "folder" else "train*.parquet and test*.parquet"
        raise UserError(f"no folder {str(path)!r}{meant}\n{prefix}:PATH names the folder that holds {holds}")
    try:
        found = recognise(path, path.resolve().name)
    except PermissionError as error:
        raise may_not_be_read(error) from error
    if found is None:
        raise unrecognised(prefix, path)
    return found


def _candidates(root: Path, name: str, known: catalog.Dataset | None) -> list[Path]:
    """Folders and archives at or below `root` that may hold the data set, the likeliest first."""
    wanted = {catalog.key(name)}
    archives: set[str] = set()
    if known is not None:
        wanted |= {catalog.key(known.name), *(catalog.key(folder) for folder in known.folders)}
        archives = {archive for archive, form in ARCHIVES.items() if DATASETS[form] == known.name}
    below = sorted(root.iterdir())
    matching = [path for path in below if path.is_dir() and catalog.key(path.name) in wanted]
    inside = [inner for path in matching for inner in sorted(path.iterdir()) if inner.is_dir()]
    found = [inner for inner in inside if catalog.key(inner.name) in wanted] + matching
    found += [path for path in below if path.name in archives]
    at_root = official_form(root)
    if catalog.key(root.name) in wanted or (known is not None and DATASETS.get(at_root or "") == known.name):
        found.append(root)
    return found


def _missing(known: catalog.Dataset, root: Path | None) -> UserError:
    how = (
        f"get it with `levelfield data get {known.name}`, or" if known.downloads else f"{known.manual};"
    ) + " name the folder that holds it: --data-dir or LEVELFIELD_DATA"
    if root is None:
        return UserError(f"no data folder is given, and {known.name} is not imported\n{how}")
    if not root.is_dir():
        return UserError(f"the data folder {str(root)!r} does not exist\n{how}")
    return UserError(f"no {known.name} in the data folder {str(root)!r}\n{how}")
