"""Files by relative name, whether they lie in a folder, a zip or a tar: official archives are read in place.

A compressed tar cannot be read at random, so it is unpacked once to a plain tar in the cache folder.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import threading
import zipfile
import zlib
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

from levelfield.data.cache_folder import cache_dir, only_one, replacing
from levelfield.data.sources.readers.contract import Labels, Records
from levelfield.errors import UserError
from levelfield.system.files import open_descriptor, read_at


class Tree(ABC):
    """Files below one root; names are relative POSIX paths. `read` may be called from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def names(self) -> list[str]:
        """All files, sorted."""

    @abstractmethod
    def has(self, name: str) -> bool: ...

    @abstractmethod
    def read(self, name: str) -> bytes: ...


def inside(folder: Path, name: str) -> Path:
    """`name`, as a list of a data set in `folder` gives it, below that folder. Raises UserError where it leads out."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or PureWindowsPath(name).drive:
        raise UserError(
            f"{folder}: a list of the data set names {name!r}, which lies outside of it\n"
            "a data set reads its own files only: mend the list, or get the data set from its source"
        )
    return folder / name


def _raise_if_forbidden(error: OSError) -> None:
    """Of a walk through folders: images that may not be listed are not images that are not there."""
    if isinstance(error, PermissionError):
        raise error


class FolderTree(Tree):
    """The files below a folder."""

    def names(self) -> list[str]:
        found = []
        for folder, below, files in os.walk(self.path, followlinks=True, onerror=_raise_if_forbidden):
            below[:] = sorted(name for name in below if not name.startswith("."))
            prefix = Path(folder).relative_to(self.path).as_posix()
            start = "" if prefix == "." else prefix + "/"
            found += [start + name for name in files if not name.startswith(".")]
        return sorted(found)

    def has(self, name: str) -> bool:
        return inside(self.path, name).exists()

    def read(self, name: str) -> bytes:
        try:
            return inside(self.path, name).read_bytes()
        except FileNotFoundError:
            raise UserError(f"{self.path / name} is missing, but a list of the data set names it") from None


class ZipTree(Tree):
    """The files of a zip archive."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = threading.Lock()

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except zipfile.BadZipFile as error:
            raise _damaged(self.path, error) from None

    def names(self) -> list[str]:
        return sorted(name for name in self._archive.namelist() if not name.endswith("/"))

    def has(self, name: str) -> bool:
        return name in self._archive.NameToInfo or name.rstrip("/") + "/" in self._archive.NameToInfo

    def read(self, name: str) -> bytes:
        with self._lock:
            try:
                return self._archive.read(name)
            except KeyError:
                raise UserError(f"{self.path} has no {name}, but a list of the data set names it") from None
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
                raise _damaged(self.path, error) from None


class TarTree(Tree):
    """The files of a tar archive, plain or compressed with gzip."""

    @cached_property
    def _plain(self) -> Path:
        """The tar itself, or its unpacked copy in the cache."""
        with self.path.open("rb") as file:
            if file.read(2) != b"\x1f\x8b":
                return self.path
        facts = self.path.stat()
        mark = hashlib.sha256(f"{self.path.resolve()}/{facts.st_size}/{facts.st_mtime_ns}".encode()).hexdigest()[:16]
        plain = cache_dir() / "unpacked" / f"{mark}.tar"
        with only_one(plain):
            if not plain.is_file():
                with replacing(plain) as temporary:
                    self._unpack(temporary)
        return plain

    def _unpack(self, plain: Path) -> None:
        with gzip.open(self.path) as packed, plain.open("wb") as out:
            while True:
                try:
                    block = packed.read(1 << 20)
                except (EOFError, OSError, zlib.error) as error:
                    raise _damaged(self.path, error) from None
                if not block:
                    return
                out.write(block)

    @cached_property
    def _members(self) -> dict[str, tuple[int, int]]:
        """Name -> (offset, size) of every regular file."""
        try:
            with tarfile.open(self._plain) as archive:
                return {m.name.removeprefix("./"): (m.offset_data, m.size) for m in archive if m.isreg()}
        except (tarfile.TarError, EOFError) as error:
            raise _damaged(self.path, error) from None

    @cached_property
    def _file(self) -> int:
        return open_descriptor(self._plain, os.O_RDONLY)

    def names(self) -> list[str]:
        return sorted(self._members)

    def has(self, name: str) -> bool:
        return name in self._members or any(member.startswith(name.rstrip("/") + "/") for member in self._members)

    def read(self, name: str) -> bytes:
        if name not in self._members:
            raise UserError(f"{self.path} has no {name}, but a list of the data set names it")
        offset, size = self._members[name]
        data = read_at(self._file, size, offset)
        if len(data) != size:
            raise _damaged(self.path, EOFError(f"{name} ends early"))
        return data


class SubTree(Tree):
    """The files of another tree below `base`."""

    def __init__(self, tree: Tree, base: str) -> None:
        super().__init__(tree.path)
        self._tree, self._base = tree, base

    def names(self) -> list[str]:
        return [name[len(self._base) :] for name in self._tree.names() if name.startswith(self._base)]

    def has(self, name: str) -> bool:
        return self._tree.has(self._base + name)

    def read(self, name: str) -> bytes:
        return self._tree.read(self._base + name)


class TreeRecords(Records):
    """Records that are files of a tree."""

    def __init__(self, tree: Tree, names: list[str], labels: Labels) -> None:
        self.tree, self.names, self.labels = tree, names, labels

    def item(self, row: int) -> bytes:
        return self.tree.read(self.names[row])

    def name(self, row: int) -> str:
        return self.names[row]


def open_tree(path: Path) -> Tree | None:
    """The tree of a folder, a zip or a tar by its name; None for any other file."""
    if path.is_dir():
        return FolderTree(path)
    if path.name.endswith(".zip"):
        return ZipTree(path)
    if path.name.endswith((".tar", ".tar.gz", ".tgz")):
        return TarTree(path)
    return None


def below(tree: Tree, marker: str) -> Tree | None:
    """The part of `tree` in which `marker` lies: its root, or the one folder that official archives pack all into."""
    if tree.has(marker):
        return tree
    if isinstance(tree, FolderTree):
        inner = sorted(path for path in tree.path.iterdir() if path.is_dir() and (path / marker).exists())
        return FolderTree(inner[0]) if inner else None
    bases = {name.partition("/")[0] + "/" for name in tree.names()}
    return next((SubTree(tree, base) for base in sorted(bases) if tree.has(base + marker)), None)


def required(tree: Tree, marker: str, form: str) -> Tree:
    """`below`, where `tree` was taken for `form` by its name. Raises UserError where it holds something else."""
    part = below(tree, marker)
    if part is None:
        raise UserError(f"{tree.path} is not {form}: it has no {marker}\ncopy or download it again, or rename it")
    return part


def _damaged(path: Path, error: Exception) -> UserError:
    why = (str(error).splitlines() or [type(error).__name__])[0]  # tarfile's reasons run over several lines
    return UserError(f"{path}: damaged archive ({why})\nit is truncated or damaged: copy or download it again")
