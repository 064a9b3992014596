"""The forms that are read in place, and how the form of a folder or an archive is recognised, by its content.

To add one: a file in `readers/` with `detect` and `read`, and a line here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from levelfield.data.sources.archives import below, open_tree
from levelfield.data.sources.readers import cifar, class_folders, parquet
from levelfield.data.sources.readers import tiny_imagenet_cub_dogs as listed
from levelfield.data.sources.readers.contract import Found, Source
from levelfield.errors import UserError

ARCHIVES = {
    "cifar-10-python.tar.gz": "cifar-10 pickles",
    "cifar-10-binary.tar.gz": "cifar-10 binary",
    "cifar-100-python.tar.gz": "cifar-100 pickles",
    "cifar-100-binary.tar.gz": "cifar-100 binary",
    "tiny-imagenet-200.zip": "Tiny ImageNet",
    "CUB_200_2011.tgz": "CUB-200-2011",
    "lists.tar": "Stanford Dogs",
}
"""Official archives, known by their names so that looking for data never unpacks anything."""

DATASETS = {
    "cifar-10 pickles": "cifar10",
    "cifar-10 binary": "cifar10",
    "cifar-100 pickles": "cifar100",
    "cifar-100 binary": "cifar100",
    "Tiny ImageNet": "tiny_imagenet",
    "CUB-200-2011": "cub200",
    "Stanford Dogs": "stanford_dogs",
}
"""The data set that each official form holds; Parquet and class folders can hold any."""


def recognise(path: Path, name: str) -> Found | None:
    """The data set `name` in the folder or archive `path`, whatever known form it has, or None."""
    found = _recognise(path, name)
    return None if found is None else replace(found, load=lambda: _loaded(found))


def _loaded(found: Found) -> Source:
    """What `found` loads. Whatever a reader stumbles over in a wrong or damaged file becomes one UserError."""
    try:
        return found.load()
    except UserError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # a foreign file can make a decoder or an index raise nearly anything
        why = " ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise UserError(
            f"{found.path}: not readable as {found.form} ({why})\n"
            "it is damaged or something else: copy or download it again"
        ) from None


def _recognise(path: Path, name: str) -> Found | None:
    if path.is_file():
        return _archive(path, name)
    if not path.is_dir():
        return None
    if shards := parquet.shards(path):
        files = [file for split in shards.values() for file in split]
        return Found(name, "parquet", path, _fingerprint(files), lambda: parquet.read(path))
    if (form := official_form(path)) is not None:
        return _official(path, form, name)
    for archive in sorted(ARCHIVES):
        if (path / archive).is_file():
            return _archive(path / archive, name)
    if class_folders.detect(path):
        mark = _fingerprint([path])
        return Found(name, "class folders", path, mark, lambda: class_folders.read(path), streamable=True)
    return None


def official_form(path: Path) -> str | None:
    """Which official form the extracted folder `path` (or the one folder in it) has, or None."""
    tree = open_tree(path)
    return None if tree is None else cifar.detect(tree) or listed.detect(tree)


def _official(path: Path, form: str, name: str) -> Found:
    tree = open_tree(path)
    assert tree is not None
    if form in cifar.MARKERS:
        part = below(tree, cifar.MARKERS[form])
        assert part is not None
        return Found(name, form, path, _fingerprint([part.path]), lambda: cifar.read(tree, form))
    images = open_tree(path / "images.tar") if form == "Stanford Dogs" and (path / "images.tar").is_file() else None
    part = below(tree, listed.MARKERS[form])
    assert part is not None
    whole = images is None
    return Found(name, form, path, _fingerprint([part.path]), lambda: listed.read(tree, form, images), streamable=whole)


def _archive(path: Path, name: str) -> Found | None:
    form, tree = ARCHIVES.get(path.name), open_tree(path)
    if form is None or tree is None:
        return None
    if form in cifar.MARKERS:
        return Found(name, form, path, _fingerprint([path]), lambda: cifar.read(tree, form))
    images = None
    if form == "Stanford Dogs":
        beside = path.with_name("images.tar")
        images = open_tree(beside) if beside.is_file() else open_tree(path.parent)
        return Found(name, form, path, _fingerprint([path, beside]), lambda: listed.read(tree, form, images))
    return Found(name, form, path, _fingerprint([path]), lambda: listed.read(tree, form, images))


def _fingerprint(paths: Iterable[Path]) -> str:
    """A digest over the paths, sizes and times of change of files, those of a folder at any depth.

    Nothing is read but the folders themselves: a few seconds for a million images.
    """
    state = hashlib.sha256()

    def note(name: str, path: Path) -> None:
        facts = path.stat()
        state.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape"))

    for path in paths:
        state.update(f"{path.resolve()}\n".encode())
        if path.is_file():
            note(path.name, path)
        for folder, inner, files in os.walk(path, followlinks=True):
            inner.sort()
            for file in (Path(folder) / name for name in sorted(files)):
                if file.exists():  # not so for a link that leads nowhere, which readers refuse or leave out
                    note(os.path.relpath(file, path), file)
    return state.hexdigest()
