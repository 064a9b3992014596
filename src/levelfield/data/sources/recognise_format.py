"""The forms that are read in place, and how the form of a folder or an archive is recognised, by its content.

To add one: a file in `readers/` with `detect` and `read`, and a line here.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Final

from levelfield.data.sources.archives import Tree, below, open_tree
from levelfield.data.sources.readers import cifar, class_folders, parquet
from levelfield.data.sources.readers import tiny_imagenet_cub_dogs as listed
from levelfield.data.sources.readers.contract import Found, Source
from levelfield.data.sources.unrecognised import may_not_be_read
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
    if path.is_file():
        return _archive(path, name)
    if not path.is_dir():
        return None
    if shards := parquet.shards(path):
        return _found(name, "parquet", path, chain(*shards.values()), lambda: parquet.read(path))
    if (form := official_form(path)) is not None:
        return _official(path, form, name)
    for archive in sorted(ARCHIVES):
        if (path / archive).is_file():
            return _archive(path / archive, name)
    if class_folders.detect(path):
        return _found(name, "class folders", path, [path], lambda: class_folders.read(path), streamable=True)
    return None


def official_form(path: Path) -> str | None:
    """Which official form the extracted folder `path` (or the one folder in it) has, or None."""
    tree = open_tree(path)
    return None if tree is None else cifar.detect(tree) or listed.detect(tree)


def _official(path: Path, form: str, name: str) -> Found:
    tree = open_tree(path)
    assert tree is not None
    part = below(tree, (cifar.MARKERS | listed.MARKERS)[form])
    assert part is not None
    images = open_tree(path / "images.tar") if form == "Stanford Dogs" and (path / "images.tar").is_file() else None
    streamable = form in listed.MARKERS and images is None
    return _found(name, form, path, [part.path], _reader(tree, form, images), streamable)


def _archive(path: Path, name: str) -> Found | None:
    form, tree = ARCHIVES.get(path.name), open_tree(path)
    if form is None or tree is None:
        return None
    if form != "Stanford Dogs":
        return _found(name, form, path, [path], _reader(tree, form))
    beside = path.with_name("images.tar")
    images = open_tree(beside if beside.is_file() else path.parent)
    return _found(name, form, path, [path, beside], _reader(tree, form, images))


def _reader(tree: Tree, form: str, images: Tree | None = None) -> Callable[[], Source]:
    return (lambda: cifar.read(tree, form)) if form in cifar.MARKERS else lambda: listed.read(tree, form, images)


def _found(
    name: str, form: str, path: Path, files: Iterable[Path], read: Callable[[], Source], streamable: bool = False
) -> Found:
    """What was recognised. Whatever `read` stumbles over in a wrong or damaged file becomes one UserError."""

    def load() -> Source:
        try:
            return read()
        except (UserError, MemoryError):
            raise
        except PermissionError as error:
            raise may_not_be_read(error) from error
        except Exception as error:  # a foreign file can make a decoder or an index raise nearly anything
            why = " ".join([type(error).__name__, *str(error).splitlines()[:1]])
            raise UserError(
                f"{path}: not readable as {form} ({why})\nit is damaged or something else: copy or download it again"
            ) from None

    return Found(name, form, path, _fingerprint(files), load, streamable)


_NOWHERE: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))


def _fingerprint(paths: Iterable[Path]) -> str:
    """A digest over the paths, sizes and times of change of files, those of a folder at any depth.

    Nothing is read but the folders themselves: a few seconds for a million images.
    """
    state = hashlib.sha256()

    def note(name: str, facts: os.stat_result) -> None:
        state.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape"))

    for path in paths:
        state.update(f"{path.resolve()}\n".encode())
        if path.is_file():
            note(path.name, path.stat())
        for folder, inner, files in os.walk(path, followlinks=True):
            inner.sort()
            inside = Path(folder).relative_to(path).as_posix()
            start = "" if inside == "." else f"{inside}/"
            for name in sorted(files):  # as text: a `Path` of each would take longer than to ask for its facts
                try:
                    facts = os.stat(f"{folder}/{name}")  # noqa: PTH116
                except OSError as error:
                    if error.errno in _NOWHERE:  # a link that leads nowhere, which readers refuse or leave out
                        continue
                    raise
                note(start + name, facts)
    return state.hexdigest()
