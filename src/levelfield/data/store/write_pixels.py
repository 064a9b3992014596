"""The pixel files of a store: images at the size of a fit, and whole images at their aspect ratio."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from levelfield.data.cache_folder import no_room, only_one, replacing
from levelfield.data.sources.readers.contract import Found, Pixels, Source
from levelfield.data.store.over_cores import in_threads, over_records
from levelfield.data.store.read_image import fitted
from levelfield.data.store.resize import Fit, Whole
from levelfield.data.store.store import NATIVE, Store
from levelfield.data.store.whole_images import sizes_beside, total_bytes
from levelfield.progress import OnProgress
from levelfield.system.files import reserve

PixelFile = np.memmap[Any, np.dtype[np.uint8]]
"""A .npy file of uint8 that is written through memory."""


def add_variant(store: Store, fit: Fit, found: Found, progress: OnProgress | None) -> None:
    """See that the pixels of `fit` are there: made from the native ones if these are, else by decoding `found` again.

    One process does, and all others wait for it.
    """
    if store.has(str(fit)):
        return
    with only_one(store.folder, found.name, progress):
        missing = [split for split in store.index.splits if not store.images(split, str(fit)).is_file()]
        source = None if store.has(NATIVE) or not missing else found.load()
        for split in missing:
            count = store.index.splits[split].count
            with replacing(store.images(split, str(fit))) as path:
                out = create_array(path, (count, 3, fit.side_px, fit.side_px))
                for start, chunk in _made(store, split, fit, source):
                    out[start : start + len(chunk)] = np.stack(chunk).transpose(0, 3, 1, 2)
                    if progress:
                        progress(f"{store.index.name} {split}: {fit}", start + len(chunk), count)
                out.flush()
                del out


def add_whole(store: Store, whole: Whole, found: Found, progress: OnProgress | None) -> None:
    """Write the whole training images under `whole` and their sizes. One process does, and all others wait for it."""
    path = store.images("train", str(whole))
    with only_one(store.folder, found.name, progress):
        if path.is_file():
            return
        index = store.index.splits["train"]
        longest, written = max(max(shape) for shape, _ in index.shapes()), 0
        sizes = np.zeros((index.count, 2), dtype=np.int64)
        with replacing(path) as images, replacing(sizes_beside(path)) as beside:
            out = create_array(images, (total_bytes(index, whole) + longest,))
            for start, chunk in _made(store, "train", whole, found.load()):
                for row, pixels in enumerate(chunk, start):
                    sizes[row] = pixels.shape[:2]
                    out[written : written + pixels.size] = pixels.transpose(2, 0, 1).reshape(-1)
                    written += pixels.size
                if progress:
                    progress(f"{store.index.name} train: {whole}", start + len(chunk), index.count)
            out.flush()
            del out  # Windows renames no file that is mapped
            with beside.open("wb") as file:
                np.save(file, sizes)


def _made(store: Store, split: str, fit: Fit | Whole, source: Source | None) -> Iterator[tuple[int, list[Pixels]]]:
    """The images of `split` in order: from the native pixels, or by decoding what `source` has, if given."""
    if source is None:
        native = np.load(store.images(split, NATIVE), mmap_mode="r")
        count = store.index.splits[split].count
        yield from in_threads(count, lambda row: fit.apply(np.ascontiguousarray(native[row].transpose(1, 2, 0))))
    else:
        yield from over_records(store.records(source, split), partial(fitted, fit=fit))


def create_array(path: Path, shape: tuple[int, ...]) -> PixelFile:
    """A new .npy file of uint8 of this shape, its room on the disk taken. Raises UserError where there is none."""
    needed, free = math.prod(shape), shutil.disk_usage(path.parent).free
    if needed > free:
        need = f"the decoded images need {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
        raise no_room(path.parent, need)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.flush()
        reserve(file, file.tell() + needed)
    out: PixelFile = np.load(path, mmap_mode="r+")
    return out
