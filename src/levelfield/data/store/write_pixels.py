"""The pixel files of a store: images at the size of a fit, and whole images at their aspect ratio."""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np

from levelfield.data.cache_folder import no_room, only_one, replacing
from levelfield.data.sources.readers.contract import Found, Pixels, Source
from levelfield.data.store.over_cores import Cores, in_threads
from levelfield.data.store.read_images import fitted
from levelfield.data.store.resize import Fit, Whole
from levelfield.data.store.store import NATIVE, Store
from levelfield.data.store.whole_images import sizes_beside, total_bytes
from levelfield.progress import OnProgress


class PixelFile(AbstractContextManager["PixelFile"]):
    """A new .npy file of uint8 of a shape, written from its beginning on; what is not written is zeros.

    Not through memory: to map a page costs more than to write it. Raises UserError where there is no room.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        needed, free = math.prod(shape), shutil.disk_usage(path.parent).free
        if needed > free:
            need = f"the decoded images need {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
            raise no_room(path.parent, need)
        self._file = path.open("wb", buffering=0)
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        self._file.write(header.getvalue())
        self._end = self._file.tell() + needed

    def write(self, pixels: Pixels) -> None:
        """The values that come next, of any shape, in the order of their indices."""
        left = np.ascontiguousarray(pixels).reshape(-1).data  # of no value too, which no view of several axes can be
        while left:
            left = left[self._file.write(left) :]

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._file.truncate(self._end)


def add_variant(store: Store, fit: Fit, found: Found, progress: OnProgress | None) -> None:
    """See that the pixels of `fit` are there: made from the native ones if these are, else by decoding `found` again.

    One process does, and all others wait for it.
    """
    if store.has(str(fit)):
        return
    with only_one(store.folder, found.name, progress), Cores() as cores:
        missing = [split for split in store.index.splits if not store.images(split, str(fit)).is_file()]
        source = None if store.has(NATIVE) or not missing else found.load()
        for split in missing:
            count = store.index.splits[split].count
            shape = (count, 3, fit.side_px, fit.side_px)
            with replacing(store.images(split, str(fit))) as path, PixelFile(path, shape) as out:
                for rows, some in _made(store, split, fit, source, cores):
                    out.write(np.stack(some).transpose(0, 3, 1, 2))
                    if progress:
                        progress(f"{store.index.name} {split}: {fit}", rows.stop, count)


def add_whole(store: Store, whole: Whole, found: Found, progress: OnProgress | None) -> None:
    """Write the whole training images under `whole` and their sizes. One process does, and all others wait for it."""
    path = store.images("train", str(whole))
    with only_one(store.folder, found.name, progress):
        if path.is_file():
            return
        index = store.index.splits["train"]
        longest = max(max(shape) for shape, _ in index.shapes())
        sizes = np.zeros((index.count, 2), dtype=np.int64)
        with replacing(path) as images, replacing(sizes_beside(path)) as beside, Cores() as cores:
            with PixelFile(images, (total_bytes(index, whole) + longest,)) as out:
                for rows, some in _made(store, "train", whole, found.load(), cores):
                    for row, pixels in zip(rows, some, strict=True):
                        sizes[row] = pixels.shape[:2]
                        out.write(pixels.transpose(2, 0, 1))
                    if progress:
                        progress(f"{store.index.name} train: {whole}", rows.stop, index.count)
            with beside.open("wb") as file:
                np.save(file, sizes)


def _made(
    store: Store, split: str, fit: Fit | Whole, source: Source | None, cores: Cores
) -> Iterator[tuple[range, list[Pixels]]]:
    """The images of `split` in order: from the native pixels, or by decoding what `source` has, if given."""
    if source is None:
        native = np.load(store.images(split, NATIVE), mmap_mode="r")
        count = store.index.splits[split].count

        def some(rows: range) -> list[Pixels]:
            return [fit.apply(np.ascontiguousarray(native[row].transpose(1, 2, 0))) for row in rows]

        yield from in_threads(count, some)
    else:
        yield from cores.over_records(store.records(source, split), partial(fitted, fit=fit))
