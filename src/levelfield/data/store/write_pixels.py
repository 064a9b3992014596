"""The pixel files of a store: images at the size of a fit, and whole images at their aspect ratio."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from levelfield.data.cache_folder import no_room, one_builder, replacing, reserve
from levelfield.data.sources.decode import decode
from levelfield.data.sources.readers.contract import Found, Pixels, Source
from levelfield.data.store.in_threads import in_threads
from levelfield.data.store.resize import Fit, Whole
from levelfield.data.store.store import NATIVE, Store
from levelfield.data.store.whole_images import sizes_beside, total_bytes
from levelfield.progress import OnProgress

PixelFile = np.memmap[Any, np.dtype[np.uint8]]
"""A .npy file of uint8 that is written through memory."""


def add_variant(store: Store, fit: Fit, found: Found, progress: OnProgress | None = None) -> None:
    """Write the pixels of `fit`: from the native ones where they are there, else by decoding `found` again.

    One process does, and all others wait for it.
    """
    with one_builder(store.folder, found.name, progress):
        if not store.has(str(fit)):
            _write_variant(store, fit, None if store.has(NATIVE) else found.load(), progress)


def _write_variant(store: Store, fit: Fit, source: Source | None, progress: OnProgress | None) -> None:
    for split, index in store.index.splits.items():
        if store.images(split, str(fit)).is_file():
            continue
        one = _from_native(store, split, fit) if store.has(NATIVE) else _from_source(store, split, fit, source)
        with replacing(store.images(split, str(fit))) as path:
            out = create_images(path, index.count, fit.side_px)
            for start, chunk in in_threads(index.count, one):
                out[start : start + len(chunk)] = np.stack(chunk).transpose(0, 3, 1, 2)
                if progress:
                    progress(f"{store.index.name} {split}: {fit}", start + len(chunk), index.count)
            out.flush()
            del out


def add_whole(store: Store, whole: Whole, found: Found, progress: OnProgress | None = None) -> None:
    """Write the whole training images under `whole` and their sizes. One process does, and all others wait for it."""
    with one_builder(store.folder, found.name, progress):
        if store.images("train", str(whole)).is_file():
            return
        index, one = store.index.splits["train"], _from_source(store, "train", whole, found.load())
        total, longest, written = total_bytes(index.sizes, whole), 0, 0
        sizes = np.zeros((index.count, 2), dtype=np.int64)
        for name in index.sizes:
            longest = max(longest, *(int(side) for side in name.split("x")))
        path = store.images("train", str(whole))
        with replacing(path) as images, replacing(sizes_beside(path)) as beside:
            out = _create_array(images, (total + longest,))
            for start, chunk in in_threads(index.count, one):
                for row, pixels in enumerate(chunk, start):
                    sizes[row] = pixels.shape[:2]
                    out[written : written + pixels.size] = pixels.transpose(2, 0, 1).reshape(-1)
                    written += pixels.size
                if progress:
                    progress(f"{store.index.name} train: {whole}", start + len(chunk), index.count)
            out.flush()
            with beside.open("wb") as file:
                np.save(file, sizes)


def _from_native(store: Store, split: str, fit: Fit) -> Callable[[int], Pixels]:
    native = np.load(store.images(split, NATIVE), mmap_mode="r")
    return lambda row: fit.apply(np.ascontiguousarray(native[row].transpose(1, 2, 0)))


def _from_source(store: Store, split: str, fit: Fit | Whole, source: Source | None) -> Callable[[int], Pixels]:
    assert source is not None, "a store without native pixels is extended from its source"
    records, rows = source.splits[split], store.file_rows(split)
    return lambda row: fit.apply(decode(records.item(int(rows[row])))[0])


def create_images(path: Path, count: int, side_px: int) -> PixelFile:
    """A new .npy file of uint8 (count, 3, side_px, side_px), its room on the disk taken. Raises UserError without."""
    return _create_array(path, (count, 3, side_px, side_px))


def _create_array(path: Path, shape: tuple[int, ...]) -> PixelFile:
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
