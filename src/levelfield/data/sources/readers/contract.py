"""What a reader hands over: the samples of each split, still encoded, with their labels and names.

A reader (one per container form, in `readers/`) finds out which samples there are; decoding, checking and storing
them is the same for all and happens elsewhere.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""A decoded image, uint8 (H, W, 3), RGB."""

Labels = NDArray[np.int64]


class Records(ABC):
    """The samples of one split in file order. `item` may be called from several threads at once."""

    labels: Labels
    """int64 (N,)."""

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def item(self, row: int) -> bytes | Pixels:
        """The encoded bytes of an image, or its pixels where the container holds pixels."""

    def name(self, row: int) -> str:
        """The sample's name for people: its path inside the data set, where it has one."""
        return f"#{row}"


@dataclass(frozen=True)
class Source:
    """A data set as found.

    `classes`: names in label order. `splits`: the records of `train` and `test`. `notes`: what belongs beside results.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, Records]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A data set that was located but not yet read.

    `fingerprint` changes when the files change; `load` lists the samples; `streamable` says that single images can be
    read at random without unpacking their neighbours.
    """

    name: str
    form: str
    path: Path | None
    fingerprint: str
    load: Callable[[], Source]
    streamable: bool = False


class ArrayRecords(Records):
    """Records whose pixels are in memory: uint8 (N, H, W, 3)."""

    def __init__(self, pixels: Pixels, labels: Labels, names: Sequence[str] | None = None) -> None:
        self.pixels, self.labels, self._names = pixels, labels, names

    def item(self, row: int) -> Pixels:
        pixels: Pixels = self.pixels[row]
        return pixels

    def name(self, row: int) -> str:
        return self._names[row] if self._names else super().name(row)


class FileRecords(Records):
    """Records that are image files: `root / paths[row]`."""

    def __init__(self, root: Path, paths: Sequence[str], labels: Labels) -> None:
        self.root, self.paths, self.labels = root, paths, labels

    def item(self, row: int) -> bytes:
        with open(os.path.join(self.root, self.paths[row]), "rb", buffering=0) as file:  # noqa: PTH118, PTH123
            return file.read()  # without a `Path`, which takes as long to make as the file to read

    def name(self, row: int) -> str:
        return self.paths[row]


class SubsetRecords(Records):
    """Some rows of other records, in the given order."""

    def __init__(self, records: Records, rows: Labels) -> None:
        self._records, self._rows = records, rows
        self.labels = records.labels[rows]

    def item(self, row: int) -> bytes | Pixels:
        return self._records.item(int(self._rows[row]))

    def name(self, row: int) -> str:
        return self._records.name(int(self._rows[row]))
