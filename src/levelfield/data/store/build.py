"""How a store is made: one pass over all images for the index, and pixels of any size and fit.

Decoding runs in a few threads (Pillow releases Python's lock while it decodes); results are taken in file order.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from levelfield.data.cache_folder import no_room, only_one, replacing, reserve
from levelfield.data.sources.decode import BadImageError, decode
from levelfield.data.sources.readers.contract import Found, Pixels, Records, Source
from levelfield.data.store.content_identity import DIGEST_BYTES, canonical_order, checksum, image_digest
from levelfield.data.store.resize import Fit, Whole
from levelfield.data.store.store import (
    FORMAT,
    NATIVE,
    STORE_LIMIT_GIB,
    Index,
    OnBadImage,
    Progress,
    SplitIndex,
    Store,
    gib,
    open_store,
)
from levelfield.data.store.whole_images import sizes_beside, total_bytes
from levelfield.errors import UserError

T = TypeVar("T")

_CHUNK: Final = 64
"""Images that a thread takes at a time."""

_PROBED: Final = 32
"""Images over a split that tell whether all may have one size."""


def ensure(
    found: Found,
    folder: Path,
    *,
    fit: Fit | None = None,
    on_bad_image: OnBadImage = "fail",
    progress: Progress | None = None,
) -> Store:
    """The store in `folder`; where there is none, one process builds it (see `build`) and all others wait for that."""
    store = open_store(folder)
    if store is None:
        with only_one(folder, _waiting(found, progress)):
            store = open_store(folder) or build(found, folder, fit=fit, on_bad_image=on_bad_image, progress=progress)
    return store


def _waiting(found: Found, progress: Progress | None) -> Callable[[], None] | None:
    if progress is None:
        return None
    return lambda: progress(f"{found.name}: waiting for another process that decodes it", 0, 1)


def build(
    found: Found,
    folder: Path,
    *,
    fit: Fit | None = None,
    on_bad_image: OnBadImage = "fail",
    progress: Progress | None = None,
) -> Store:
    """Decode every image of `found` once and write index and pixels (native if uniform, and those of `fit` if given).

    The caller holds the lock of `folder` (`only_one`).
    Pixels that would take more than STORE_LIMIT_GIB are not written where `found` can be read at random instead.
    Raises UserError with the name and the reason of the first bad image, unless `on_bad_image` is "skip".
    """
    source = found.load()
    _check_labels(source, found)
    images = sum(len(records) for records in source.splits.values())
    if fit is not None and found.streamable and gib(images, fit.side_px) > STORE_LIMIT_GIB:
        fit = None
    splits: dict[str, SplitIndex] = {}
    contents = {}
    shapes = set()
    folder.mkdir(parents=True, exist_ok=True)
    for split, records in source.splits.items():
        index, arrays, shape = _index_split(split, records, len(source.classes), folder, fit, on_bad_image, progress)
        with replacing(folder / f"samples-{split}.npz") as path, path.open("wb") as file:
            np.savez(
                file,
                labels=arrays["labels"],
                rows=arrays["rows"],
                digests=arrays["digests"],
                order=canonical_order(arrays["labels"], arrays["digests"]),
            )
        splits[split] = index
        contents[split] = (arrays["labels"], arrays["digests"])
        shapes.add(shape)
    uniform = shapes.pop() if len(shapes) == 1 else None
    native_px = uniform[0] if uniform and uniform[0] == uniform[1] else None
    if native_px is None:
        for split in splits:
            (folder / f"images-{split}-{NATIVE}.npy").unlink(missing_ok=True)
    whole = Index(
        format=FORMAT,
        name=found.name,
        form=found.form,
        path=None if found.path is None else str(found.path),
        classes=list(source.classes),
        checksum=checksum(contents),
        native_px=native_px,
        notes=list(source.notes),
        splits=splits,
    )
    with replacing(folder / "index.json") as path:
        path.write_text(json.dumps(asdict(whole), indent=1), encoding="utf-8")
    return Store(folder, whole)


def add_variant(store: Store, fit: Fit, found: Found, progress: Progress | None = None) -> None:
    """Write the pixels of `fit`: from the native ones where they are there, else by decoding `found` again.

    One process does, and all others wait for it.
    """
    with only_one(store.folder, _waiting(found, progress)):
        if not store.has(str(fit)):
            _write_variant(store, fit, None if store.has(NATIVE) else found.load(), progress)


def _write_variant(store: Store, fit: Fit, source: Source | None, progress: Progress | None) -> None:
    for split, index in store.index.splits.items():
        if store.images(split, str(fit)).is_file():
            continue
        one = _from_native(store, split, fit) if store.has(NATIVE) else _from_source(store, split, fit, source)
        with replacing(store.images(split, str(fit))) as path:
            out = _create(path, index.count, fit.side_px)
            for start, chunk in _in_threads(index.count, one):
                out[start : start + len(chunk)] = np.stack(chunk).transpose(0, 3, 1, 2)
                if progress:
                    progress(f"{store.index.name} {split}: {fit}", start + len(chunk), index.count)
            out.flush()
            del out


def add_whole(store: Store, whole: Whole, found: Found, progress: Progress | None = None) -> None:
    """Write the whole training images under `whole` and their sizes. One process does, and all others wait for it."""
    with only_one(store.folder, _waiting(found, progress)):
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
            for start, chunk in _in_threads(index.count, one):
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


def _check_labels(source: Source, found: Found) -> None:
    for split in ("train", "test"):
        if split not in source.splits or not len(source.splits[split]):
            raise UserError(
                f"{found.name}: no {split} images in {found.path}\na data set needs the splits train and test (or val)"
            )


@dataclass(frozen=True)
class _Read:
    """One image of the pass: its digest, statistics and pixels, or the reason why it is bad."""

    row: int
    bad: str | None = None
    digest: bytes = b""
    mode: str = ""
    shape: tuple[int, int] = (0, 0)
    first: tuple[float, ...] = ()
    second: tuple[float, ...] = ()
    native: Pixels | None = None
    fitted: Pixels | None = None


def _read(records: Records, row: int, keep: int, fit: Fit | None) -> _Read:
    try:
        pixels, mode = decode(records.item(row))
    except (BadImageError, OSError) as error:
        return _Read(row, bad=str(error))
    flat = pixels.reshape(-1, 3)
    levels = np.arange(256, dtype=np.int64)
    counts = np.stack([np.bincount(flat[:, channel], minlength=256) for channel in range(3)])
    return _Read(
        row,
        None,
        image_digest(pixels),
        mode,
        (pixels.shape[0], pixels.shape[1]),
        tuple((counts @ levels / (255.0 * len(flat))).tolist()),
        tuple((counts @ levels**2 / (255.0**2 * len(flat))).tolist()),
        pixels if pixels.shape[0] == pixels.shape[1] == keep else None,
        None if fit is None else fit.apply(pixels),
    )


def _index_split(
    split: str,
    records: Records,
    classes: int,
    folder: Path,
    fit: Fit | None,
    on_bad_image: OnBadImage,
    progress: Progress | None,
) -> tuple[SplitIndex, dict[str, NDArray[Any]], tuple[int, int] | None]:
    """The pass over one split: its index, its sample arrays, and the one shape of its images (None: several)."""
    total = len(records)
    keep = _probable_side(records)
    digests = np.zeros((total, DIGEST_BYTES), dtype=np.uint8)
    rows: list[int] = []
    bad: list[tuple[str, str]] = []
    modes: Counter[str] = Counter()
    shapes: Counter[tuple[int, int]] = Counter()
    moments: list[tuple[tuple[float, ...], tuple[float, ...]]] = []
    with ExitStack() as stack:
        native = fitted = None
        if keep:
            native = _create(stack.enter_context(replacing(folder / f"images-{split}-{NATIVE}.npy")), total, keep)
        if fit is not None and fit.side_px != keep:
            fitted = _create(
                stack.enter_context(replacing(folder / f"images-{split}-{fit}.npy")), total, fit.side_px
            )  # fmt: skip
        wanted = fit if fitted is not None else None
        for start, chunk in _in_threads(total, lambda row: _read(records, row, keep, wanted)):
            for one in chunk:
                if one.bad is not None:
                    bad.append((records.name(one.row), one.bad))
                    if on_bad_image == "fail":
                        raise UserError(
                            f"{split} image {records.name(one.row)}: {one.bad}\n"
                            "mend or remove it, or leave such images out (they are counted): "
                            "--set data.on_bad_image=skip"
                        )
                    continue
                place = len(rows)
                digests[place] = np.frombuffer(one.digest, dtype=np.uint8)
                modes[one.mode] += 1
                shapes[one.shape] += 1
                moments.append((one.first, one.second))
                if one.native is None:
                    native = None  # another size: there will be no native pixels
                elif native is not None:
                    native[place] = one.native.transpose(2, 0, 1)
                if fitted is not None and one.fitted is not None:
                    fitted[place] = one.fitted.transpose(2, 0, 1)
                rows.append(one.row)
            if progress:
                progress(f"{split}: decoding", start + len(chunk), total)
        kept = np.array(rows, dtype=np.int64)
        for pixels in (native, fitted):
            if pixels is not None:
                pixels.flush()
    if not rows:
        raise UserError(f"no {split} image can be decoded; the first: {bad[0][0]}: {bad[0][1]}")
    labels = records.labels[kept]
    mean, std = _statistics(moments)
    index = SplitIndex(
        len(rows),
        np.bincount(labels, minlength=classes).tolist(),
        dict(modes),
        {f"{width}x{height}": number for (height, width), number in shapes.most_common()},
        bad,
        mean,
        std,
    )
    arrays: dict[str, NDArray[Any]] = {"labels": labels, "rows": kept, "digests": digests[: len(rows)]}
    return index, arrays, next(iter(shapes)) if len(shapes) == 1 else None


def _statistics(
    moments: list[tuple[tuple[float, ...], tuple[float, ...]]],
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation per channel, each image counting alike; exactly rounded sums, so order-free."""
    mean = [math.fsum(first[c] for first, _ in moments) / len(moments) for c in range(3)]
    square = [math.fsum(second[c] for _, second in moments) / len(moments) for c in range(3)]
    std = [math.sqrt(max(0.0, s - m * m)) for m, s in zip(mean, square, strict=True)]
    return (round(mean[0], 6), round(mean[1], 6), round(mean[2], 6)), (
        round(std[0], 6),
        round(std[1], 6),
        round(std[2], 6),
    )


def _probable_side(records: Records) -> int:
    """The side of a few images over the whole split, if all are squares of one size, else 0."""
    shapes = set()
    for row in np.linspace(0, len(records) - 1, min(len(records), _PROBED), dtype=np.int64).tolist():
        try:
            shapes.add(decode(records.item(row))[0].shape[:2])
        except (BadImageError, OSError):
            continue
    height, width = shapes.pop() if len(shapes) == 1 else (0, 1)
    return height if height == width else 0


def _create(path: Path, count: int, side_px: int) -> np.memmap[Any, np.dtype[np.uint8]]:
    """A new .npy file of uint8 (count, 3, side_px, side_px), its room on the disk taken. Raises UserError without."""
    return _create_array(path, (count, 3, side_px, side_px))


def _create_array(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    needed, free = math.prod(shape), shutil.disk_usage(path.parent).free
    if needed > free:
        need = f"the decoded images need {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
        raise no_room(path.parent, need)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.flush()
        reserve(file, file.tell() + needed)
    out: np.memmap[Any, np.dtype[np.uint8]] = np.load(path, mmap_mode="r+")
    return out


def _in_threads(count: int, one: Callable[[int], T]) -> Iterator[tuple[int, list[T]]]:
    """(start, [one(start), one(start + 1), ...]) in order, computed by a few threads with a bounded look-ahead."""
    workers = min(16, os.cpu_count() or 1)

    def chunk(start: int) -> list[T]:
        return [one(row) for row in range(start, min(start + _CHUNK, count))]

    starts = iter(range(0, count, _CHUNK))
    pending: list[tuple[int, Future[list[T]]]] = []
    with ThreadPoolExecutor(workers) as pool:
        try:
            for start in starts:
                pending.append((start, pool.submit(chunk, start)))
                if len(pending) > 2 * workers:
                    begun, future = pending.pop(0)
                    yield begun, future.result()
            for begun, future in pending:
                yield begun, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
