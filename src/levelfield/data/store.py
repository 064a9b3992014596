"""The store: a data set decoded once to memory-mapped uint8, with its checksum and statistics.

    <cache>/stores/<name>-<fingerprint>/
        index.json                   classes, checksum, mean, std, counts, modes, sizes, bad images
        samples-<split>.npz          labels (N,), file rows (N,), digests (N, 32), in file order
        images-<split>-<variant>.npy uint8 (N, 3, S, S); variant `native` (all images of one size) or a fit, `resize-64`

The index needs one pass over all images; pixels of another size come from `native` where there is one, else from the
encoded images. A store is written under temporary names and renamed, so that it is whole or absent.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from levelfield.data.cache import cache_dir, replacing
from levelfield.data.content import DIGEST_BYTES, Digests, checksum, image_digest
from levelfield.data.decode import BadImageError, decode
from levelfield.data.fit import Fit
from levelfield.data.records import Found, Labels, Pixels, Records, Source
from levelfield.errors import UserError

FORMAT: Final = 2
"""Raised whenever a store written before cannot be read as it is: older ones are built anew."""

NATIVE: Final = "native"
_CHUNK: Final = 64

OnBadImage = Literal["fail", "skip"]
T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""Called with (what, done, total) every now and then during long work."""


@dataclass(frozen=True)
class SplitIndex:
    """What one pass over a split found. `sizes` maps 'WxH' and `modes` Pillow's mode names to counts of images."""

    count: int
    per_class: list[int]
    modes: dict[str, int]
    sizes: dict[str, int]
    bad: list[tuple[str, str]]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Index:
    """A data set's index. `native_px` is the side of all images where they are squares of one size, else None."""

    format: int
    name: str
    form: str
    path: str | None
    classes: list[str]
    checksum: str
    native_px: int | None
    notes: list[str]
    splits: dict[str, SplitIndex]


class Store:
    """An opened store: `index`, the samples of each split and the paths of its pixel files."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder, self.index = folder, index
        self._samples: dict[str, dict[str, Any]] = {}

    def _sample(self, split: str, key: str) -> Any:
        if split not in self._samples:
            with np.load(self.folder / f"samples-{split}.npz") as arrays:
                self._samples[split] = dict(arrays)
        return self._samples[split][key]

    def labels(self, split: str) -> Labels:
        """int64 (N,) in file order, without the images that were left out."""
        return np.asarray(self._sample(split, "labels"))

    def file_rows(self, split: str) -> Labels:
        """int64 (N,): the row of each sample in the files as found."""
        return np.asarray(self._sample(split, "rows"))

    def digests(self, split: str) -> Digests:
        """uint8 (N, 32): image digests, see `levelfield.data.content`."""
        return np.asarray(self._sample(split, "digests"))

    def images(self, split: str, variant: str) -> Path:
        """Path of the .npy file with uint8 (N, 3, S, S)."""
        return self.folder / f"images-{split}-{variant}.npy"

    def has(self, variant: str) -> bool:
        """Whether the pixels of all splits are there in this variant."""
        return all(self.images(split, variant).is_file() for split in self.index.splits)


def folder_of(found: Found, on_bad_image: OnBadImage = "fail", cache: Path | None = None) -> Path:
    """The folder of the store of `found` (which may not exist yet)."""
    suffix = "" if on_bad_image == "fail" else "-skip"
    return (cache or cache_dir()) / "stores" / f"{found.name}-{found.fingerprint[:16]}{suffix}"


def open_store(folder: Path) -> Store | None:
    """The store in `folder`, or None where there is none of this format."""
    try:
        values = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    if values.get("format") != FORMAT:
        return None
    splits = {
        name: SplitIndex(**{**split, "mean": tuple(split["mean"]), "std": tuple(split["std"])})
        for name, split in values.pop("splits").items()
    }
    return Store(folder, Index(**values, splits=splits))


def build(
    found: Found,
    folder: Path,
    *,
    fit: Fit | None = None,
    on_bad_image: OnBadImage = "fail",
    progress: Progress | None = None,
) -> Store:
    """Decode every image of `found` once and write index and pixels (native if uniform, and those of `fit` if given).

    Raises UserError with the name and the reason of the first bad image, unless `on_bad_image` is "skip".
    """
    source = found.load()
    _check_labels(source, found)
    splits: dict[str, SplitIndex] = {}
    contents = {}
    shapes = set()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the cache folder {folder.parent.parent} cannot be written: {error.strerror}\nset LEVELFIELD_CACHE"
        ) from None
    for split, records in source.splits.items():
        index, arrays, shape = _index_split(split, records, len(source.classes), folder, fit, on_bad_image, progress)
        with replacing(folder / f"samples-{split}.npz") as path, path.open("wb") as file:
            np.savez(file, labels=arrays["labels"], rows=arrays["rows"], digests=arrays["digests"])
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


def add_variant(store: Store, fit: Fit, source: Source | None, progress: Progress | None = None) -> None:
    """Write the pixels of `fit`: from the native ones where they are there, else by decoding `source` again."""
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


def _from_native(store: Store, split: str, fit: Fit) -> Callable[[int], Pixels]:
    native = np.load(store.images(split, NATIVE), mmap_mode="r")
    return lambda row: fit.apply(np.ascontiguousarray(native[row].transpose(1, 2, 0)))


def _from_source(store: Store, split: str, fit: Fit, source: Source | None) -> Callable[[int], Pixels]:
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
    keep = _first_side(records)
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
                            "mend or remove it, or leave such images out: on_bad_image=skip (they are counted)"
                        )
                    continue
                place = len(rows)
                digests[place] = np.frombuffer(one.digest, dtype=np.uint8)
                modes[one.mode] += 1
                shapes[one.shape] += 1
                moments.append((one.first, one.second))
                if native is not None and one.native is not None:
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


def _first_side(records: Records) -> int:
    """The side of the first image that decodes, if it is a square (a native copy may then be possible), else 0."""
    for row in range(min(len(records), 16)):
        try:
            height, width = decode(records.item(row))[0].shape[:2]
        except (BadImageError, OSError):
            continue
        return height if height == width else 0
    return 0


def _create(path: Path, count: int, side_px: int) -> np.memmap[Any, np.dtype[np.uint8]]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, 3, side_px, side_px))


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
