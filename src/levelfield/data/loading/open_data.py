"""`open_data`: from the name in a DataSpec to splits that can be read, through the store."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from levelfield.data.sources import catalog
from levelfield.data.sources.done_to_data import left_out
from levelfield.data.sources.locate import find
from levelfield.data.sources.readers.contract import Found
from levelfield.data.store.build import ensure
from levelfield.data.store.pixel_storage import EncodedPixels, MappedPixels, PixelSource
from levelfield.data.store.resize import Fit, Whole
from levelfield.data.store.splits import ImageData, Split, hold_out
from levelfield.data.store.store import NATIVE, STORE_LIMIT_GIB, OnBadImage, Store, gib
from levelfield.data.store.whole_images import EncodedWhole, MappedWhole, total_bytes
from levelfield.data.store.write_pixels import add_variant, add_whole
from levelfield.data.stratified_sampling import stratified
from levelfield.errors import UserError
from levelfield.progress import OnProgress, on_stderr
from levelfield.spec import DataSpec
from levelfield.spec.augment import Crop, RandomResizedCrop

Where = Literal["auto", "store", "encoded"]
"""Where pixels are kept: in the store (if there is room: "auto"), or encoded, to be decoded whenever they are read."""


def open_data(
    spec: DataSpec,
    data_dir: Path | str | None = None,
    *,
    crop: Crop | None = None,
    pixels: Where = "auto",
    progress: OnProgress | None = None,
) -> ImageData:
    """Open the data set of `spec`, decoding it into the store when that has not happened yet.

    `data_dir`: the folder that holds the data sets (None: `LEVELFIELD_DATA`). `spec.validation` None counts as 0.
    Train images have side `resize_px` (or `image_size`); validation and test images are centre-cropped to `image_size`.
    `crop`: that of the recipe, if the data is to be trained on. Under a random resized crop train images stay whole, at
    their aspect ratio (`Split.batch`).
    `pixels`: from the store, or decoded whenever they are read; "auto" keeps up to 64 GiB in the store.
    `progress`: called during long work (None: shown on stderr).
    Raises UserError for an unknown or missing data set, damaged files, and splits that cannot be cut.
    """
    found = find(spec.name, data_dir)
    with on_stderr() if progress is None else nullcontext(progress) as shown:
        store, sources = _fitted(spec, found, pixels, shown)
        whole_train = _whole_train(crop, store, found, pixels, shown) if isinstance(crop, RandomResizedCrop) else None
    side = sources["train"].side_px
    crop_px = spec.image_size if spec.image_size is not None and spec.image_size < side else None
    whole = {}
    for name in ("train", "test"):
        order = torch.from_numpy(store.samples(name).order)
        labels = torch.from_numpy(store.samples(name).labels)[order]
        whole[name] = Split(name, sources[name], order, labels, torch.arange(len(order)))
    train, validation = hold_out(whole["train"], spec.validation or 0.0, spec.split_seed, crop_px)
    train = _limited(spec, train, spec.train_limit, "train")
    if whole_train is not None:
        train = replace(train, pixels=whole_train)
    test = _limited(spec, whole["test"], spec.test_limit, "test")
    statistics = store.index.splits["train"]
    return ImageData(
        name=store.index.name,
        classes=tuple(store.index.classes),
        checksum=store.index.checksum,
        official=official(store),
        mean=statistics.mean,
        std=statistics.std,
        notes=notes(store),
        train=train,
        validation=validation,
        test=test.subset(torch.arange(len(test)), crop_px=crop_px),
    )


def official(store: Store) -> bool | None:
    """Whether the content is that of a known set; None where the set is known but no checksum of it is on record."""
    index = store.index
    if index.checksum in catalog.BY_CHECKSUM:
        return True
    known = catalog.entry(index.name)
    if known is None or known.checksum is not None:
        return False
    counts = (index.splits["train"].count, index.splits["test"].count, len(index.classes))
    return None if counts == (known.train, known.test, known.classes) else False


def notes(store: Store) -> tuple[str, ...]:
    """What belongs beside every result on this content: known leaks, what is missing, and what else is odd."""
    index = store.index
    found = [*catalog.notes(index.name), *index.notes]
    known = catalog.entry(index.name)
    for split, count in (("train", known.train), ("test", known.test)) if known else ():
        if index.splits[split].count != count:
            found.append(f"{split} has {index.splits[split].count:,} images, officially {count:,}")
    same = catalog.BY_CHECKSUM.get(index.checksum)
    if same is not None and same.name != index.name:
        found += [f"the content is the official {same.name}", *same.notes]
    if bad := sum(len(split.bad) for split in index.splits.values()):
        found.append(left_out(bad))
    if official(store) is False:
        found.append("other data: not the official content of a known data set")
    return tuple(dict.fromkeys(found))


def prepare(
    found: Found, on_bad_image: OnBadImage = "fail", fit: Fit | None = None, progress: OnProgress | None = None
) -> Store:
    """The store of `found`, built if it is not there, with the pixels of `fit` if given."""
    store = ensure(found, on_bad_image, fit, progress)
    if fit is not None and fit.side_px != store.index.native_px:
        add_variant(store, fit, found, progress)
    return store


def _fitted(spec: DataSpec, found: Found, pixels: Where, progress: OnProgress) -> tuple[Store, dict[str, PixelSource]]:
    """The store of `found` and where the pixels of its splits come from, at the size and fit that `spec` wants."""
    side = spec.resize_px or spec.image_size
    if spec.resize_px is not None and spec.image_size is not None and spec.resize_px < spec.image_size:
        raise UserError(f"resize_px {spec.resize_px} is smaller than image_size {spec.image_size}; let it be larger")
    fit = None if side is None else Fit(spec.fit, side, spec.interpolation)
    store = ensure(found, spec.on_bad_image, None if pixels == "encoded" else fit, progress)
    native_px = store.index.native_px
    if fit is None:
        if native_px is None:
            sizes = ", ".join(list(store.index.splits["train"].sizes)[:3])
            raise UserError(f"{found.name} has images of many sizes ({sizes}, ...); set data.image_size")
        fit = Fit(spec.fit, native_px, spec.interpolation)
    variant = NATIVE if fit.side_px == native_px else str(fit)
    if not store.has(variant):
        images = sum(split.count for split in store.index.splits.values())
        if _stay_encoded(found, pixels, gib(images, fit.side_px)):
            source = found.load()
            return store, {name: EncodedPixels(store.records(source, name), fit) for name in store.index.splits}
        add_variant(store, fit, found, progress)
    return store, {name: MappedPixels(store.images(name, variant)) for name in store.index.splits}


def _whole_train(
    crop: RandomResizedCrop, store: Store, found: Found, pixels: Where, progress: OnProgress
) -> PixelSource:
    """The train images at their aspect ratio: squares of one size as a tensor, others ragged, or still encoded."""
    native_px, index = store.index.native_px, store.index.splits["train"]
    if native_px is not None and store.has(NATIVE):
        if crop.source_px is None or crop.source_px >= native_px:
            return MappedPixels(store.images("train", NATIVE))
        fit = Fit("resize", crop.source_px, crop.interpolation)
        add_variant(store, fit, found, progress)
        return MappedPixels(store.images("train", str(fit)))
    whole = Whole(crop.source_px, crop.interpolation)
    path = store.images("train", str(whole))
    if not path.is_file():
        if _stay_encoded(found, pixels, total_bytes(index, whole) / 2**30):
            return EncodedWhole(store.records(found.load(), "train"), whole, index)
        add_whole(store, whole, found, progress)
    return MappedWhole(path)


def _stay_encoded(found: Found, pixels: Where, needed_gib: float) -> bool:
    """Whether images that would take so much in the store are decoded whenever they are read instead."""
    return found.streamable and (pixels == "encoded" or (pixels == "auto" and needed_gib > STORE_LIMIT_GIB))


def _limited(spec: DataSpec, split: Split, limit: int | None, name: str) -> Split:
    if limit is None or limit >= len(split):
        return split
    return split.subset(stratified(split.labels, split.index, limit, seed=spec.split_seed, stream=f"{name} limit"))
