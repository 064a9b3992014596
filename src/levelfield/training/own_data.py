"""Images of the caller's own: taken over from arrays, Datasets and DataLoaders, and told apart by their content."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
)

from levelfield.data import ImageData, Split, from_dataset, hold_out
from levelfield.errors import UserError
from levelfield.spec import RunSpec
from levelfield.training.processes import announced_main

Pair = tuple[Any, Any]


def take_over(data: str | ImageData | Pair, image_size: int | None) -> ImageData | None:
    """The caller's data as ImageData; None for a name. Raises UserError for what cannot be taken over as it is."""
    if isinstance(data, str):
        return None
    if isinstance(data, ImageData):
        return data
    if not (isinstance(data, tuple) and len(data) == 2):
        raise UserError(f"data must be a name, an ImageData or a pair (train, test), not {type(data).__name__}")
    train, test = (_whole(part) if isinstance(part, DataLoader) else part for part in data)
    for part in (train, test):
        if isinstance(part, IterableDataset) or not (hasattr(part, "__len__") and hasattr(part, "__getitem__")):
            raise UserError(f"data must be map-style Datasets or DataLoaders over them, not {type(part).__name__}")
    return from_dataset(train, test, image_size=image_size)


def _whole(loader: DataLoader[Any]) -> Any:
    """The Dataset of a DataLoader that gives all of it as it is; what else one does would be lost, and is refused."""
    dataset, batches = loader.dataset, loader.batch_sampler
    if isinstance(dataset, IterableDataset):
        return dataset
    sampler = loader.sampler if batches is None else getattr(batches, "sampler", None)
    plain = type(sampler) in (SequentialSampler, RandomSampler) and type(batches) in (BatchSampler, type(None))
    if not plain or getattr(sampler, "replacement", False) or len(sampler) != len(dataset):  # type: ignore[arg-type]
        name = type(sampler if plain or type(batches) is BatchSampler else batches).__name__
        raise UserError(
            f"the DataLoader's {name} is not taken over: all {len(dataset)} images of its Dataset would be used\n"  # type: ignore[arg-type]
            "give a Dataset of the images that are meant: torch.utils.data.Subset(dataset, indices)"
        )
    if loader.batch_size is not None and loader.collate_fn is not default_collate:
        raise UserError(
            "the DataLoader's collate_fn is not taken over: images are read one by one from its Dataset\n"
            "give the Dataset itself; what changes images belongs to it or, where it is random, to the recipe"
        )
    return dataset


def with_own_data(spec: RunSpec, data: ImageData) -> tuple[RunSpec, ImageData]:
    """The caller's data with the validation slice that the recipe asks for, and the run that says what they are."""
    if spec.data.image_size not in (None, data.test.side_px):
        raise UserError(
            f"image_size is {spec.data.image_size}, but the images of the data given are {data.test.side_px} px\n"
            "leave image_size out, or give data of that size"
        )
    wanted = spec.recipe.validation if spec.data.validation is None else spec.data.validation
    share = 0.0 if data.validation is not None else wanted
    told = hashlib.sha256(f"{data.checksum} {data.mean} {data.std}".encode())
    for split in (data.train, data.validation, data.test):
        if split is not None:  # what was opened with a limit or a slice has the checksum of the whole
            told.update(f"{split.name} {split.side_px} {len(split)}".encode())
            told.update(split.index.numpy().tobytes() + split.labels.numpy().tobytes())
            for part in _seen(split):  # how they were fitted is not in the checksum, and they may have been changed
                told.update(part)
    crop = spec.recipe.augment.crop
    cropped = crop is not None and crop.name == "random_resized_crop"
    if cropped and isinstance(data.train.batch(torch.arange(1)), Tensor):
        note = (
            f"random resized crops are taken from images as they were given, squares of {data.train.side_px} px: where "
            "these were made so beforehand, from squeezed thumbnails (open_data(..., crop=...) keeps whole images)"
        )
        if announced_main():
            print(note, file=sys.stderr)
        data = replace(data, notes=(*data.notes, note))
    if share:
        train, validation = hold_out(data.train, share, spec.data.split_seed, data.test.crop_px)
        data = replace(data, train=train, validation=validation)
    described = spec.changed({"data.validation": share, "data.checksum": None})
    return described, replace(data, checksum=told.hexdigest())


def _seen(split: Split) -> Iterator[bytes]:
    """What says which pixels a network is given of `split`: themselves, or of encoded images how they are fitted."""
    fit = getattr(split.pixels, "fit", None)
    yield f"{split.crop_px} {fit}".encode()
    if fit is not None:  # their content has a checksum, and is decoded anew at every reading
        return
    for positions in torch.split(torch.arange(len(split)), 1024):
        images = split.batch(positions)
        if isinstance(images, Tensor):
            yield images.contiguous().numpy().tobytes()
            continue
        for start, height, width in zip(images.start, images.height, images.width, strict=True):
            yield f"{int(height)} {int(width)}".encode()
            yield images.flat[start : start + 3 * height * width].numpy().tobytes()
