"""How a store is made: one pass over all images (`index_pass`), and the index that says what is there."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from levelfield.data.cache_folder import only_one, replacing
from levelfield.data.sources.readers.contract import Found, Source
from levelfield.data.store.content_identity import checksum
from levelfield.data.store.index_pass import IndexedSplit, index_split
from levelfield.data.store.over_cores import Cores
from levelfield.data.store.resize import Fit
from levelfield.data.store.store import (
    FORMAT,
    NATIVE,
    STORE_LIMIT_GIB,
    Index,
    OnBadImage,
    Store,
    folder_of,
    gib,
    open_store,
)
from levelfield.errors import UserError
from levelfield.progress import OnProgress


def ensure(found: Found, on_bad_image: OnBadImage, fit: Fit | None, progress: OnProgress | None) -> Store:
    """The store of `found`; where there is none, one process builds it (see `build`) and all others wait for that."""
    folder = folder_of(found, on_bad_image)
    store = open_store(folder)
    if store is None:
        with only_one(folder, found.name, progress):
            store = open_store(folder) or build(found, folder, fit, on_bad_image, progress)
    return store


def build(found: Found, folder: Path, fit: Fit | None, on_bad_image: OnBadImage, progress: OnProgress | None) -> Store:
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
    passed: dict[str, IndexedSplit] = {}
    folder.mkdir(parents=True, exist_ok=True)
    with Cores() as cores:
        for split, records in source.splits.items():
            one = index_split(split, records, cores, len(source.classes), folder, fit, on_bad_image, progress)
            with replacing(folder / f"samples-{split}.npz") as path, path.open("wb") as file:
                np.savez(file, **one.samples._asdict())
            passed[split] = one
    shapes = {one.shape for one in passed.values()}
    uniform = shapes.pop() if len(shapes) == 1 else None
    native_px = uniform[0] if uniform and uniform[0] == uniform[1] else None
    if not all((folder / f"images-{split}-{NATIVE}.npy").is_file() for split in passed):
        native_px = None  # the images that were looked at before were of other sizes, or bad
    if native_px is None:
        for split in passed:
            (folder / f"images-{split}-{NATIVE}.npy").unlink(missing_ok=True)
    whole = Index(
        format=FORMAT,
        name=found.name,
        form=found.form,
        path=None if found.path is None else str(found.path),
        classes=list(source.classes),
        checksum=checksum({split: (one.samples.labels, one.samples.digests) for split, one in passed.items()}),
        native_px=native_px,
        notes=list(source.notes),
        splits={split: one.index for split, one in passed.items()},
    )
    with replacing(folder / "index.json") as path:
        path.write_text(json.dumps(asdict(whole), indent=1), encoding="utf-8")
    return Store(folder, whole)


def _check_labels(source: Source, found: Found) -> None:
    for split in ("train", "test"):
        if split not in source.splits or not len(source.splits[split]):
            raise UserError(
                f"{found.name}: no {split} images in {found.path}\na data set needs the splits train and test (or val)"
            )
