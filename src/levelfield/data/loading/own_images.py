"""Images of one's own that are already in the program: arrays, or a map-style torch Dataset."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Subset

from levelfield.data.sources.decode import BadImageError, decode
from levelfield.data.sources.readers.contract import Pixels
from levelfield.data.store.content_identity import Digests, canonical_order, checksum, image_digest
from levelfield.data.store.pixel_storage import MemoryPixels
from levelfield.data.store.resize import Fit
from levelfield.data.store.splits import ImageData, Split
from levelfield.data.store.store import Channels, six_digits
from levelfield.errors import UserError


def from_arrays(
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    classes: Sequence[str] | None = None,
    name: str = "custom",
    validation: tuple[Any, Any] | None = None,
) -> ImageData:
    """A data set from (images, labels) pairs: uint8 (N, 3, H, W) tensors or arrays, H = W, and whole numbers (N,).

    They are copied: what is done to the given arrays later changes nothing here.
    As in named data, the samples of a split are ordered by content, so that the same images given in another order
    train the same run; `rows` of a split says which given image each is.
    Raises UserError for other shapes or types, and for labels outside the classes.
    """
    splits = {"train": train, "test": test} | ({} if validation is None else {"validation": validation})
    pixels, labels = {}, {}
    for split, pair in splits.items():
        given, labels[split] = _checked(*pair, f"{name}: {split}")
        pixels[split] = given.clone(memory_format=torch.contiguous_format)
    lowest, highest = (int(extreme(torch.cat(list(labels.values())))) for extreme in (torch.min, torch.max))
    names = tuple(map(str, range(1 + highest))) if classes is None else tuple(classes)
    if lowest < 0:
        raise UserError(f"{name}: labels start at 0, and the lowest given is {lowest}\nnumber the classes from 0 on")
    if highest >= len(names):
        raise UserError(f"{name}: labels are {lowest}..{highest}, but there are {len(names)} classes")
    mean, std = _statistics(pixels["train"])
    content = {split: (labels[split].numpy(), _digests(images)) for split, images in pixels.items()}
    made = {}
    for split, (numbers, digests) in content.items():
        order = torch.from_numpy(canonical_order(numbers, digests))
        made[split] = Split(split, MemoryPixels(pixels[split]), order, labels[split][order], torch.arange(len(order)))
    return ImageData(
        name=name,
        classes=names,
        checksum=checksum(content),
        official=False,
        mean=mean,
        std=std,
        notes=("other data: given as arrays or a Dataset",),
        train=made["train"],
        validation=made.get("validation"),
        test=made["test"],
    )


def _checked(images: Any, labels: Any, where: str) -> tuple[Tensor, Tensor]:
    """What was given for a split as uint8 (N, 3, S, S) and int64 (N,). Raises UserError for anything else."""
    try:
        pixels, given_labels = torch.as_tensor(images), torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{where} is not two arrays ({str(error).splitlines()[0]}); give images and labels") from None
    if given_labels.ndim != 1 or given_labels.is_floating_point() or given_labels.is_complex():
        raise UserError(
            f"{where} labels are {given_labels.dtype} {tuple(given_labels.shape)}; "
            "give one whole number each, the number of its class: (N,)"
        )
    numbers = given_labels.to(torch.int64)
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3 or len(pixels) != len(numbers):
        raise UserError(
            f"{where} images are {pixels.dtype} {tuple(pixels.shape)} for {len(numbers)} labels; "
            "give uint8 (N, 3, H, W) and one label each"
        )
    if pixels.shape[2] != pixels.shape[3]:
        raise UserError(f"{where} images are {pixels.shape[2]}x{pixels.shape[3]}; give squares")
    if len(pixels) == 0:
        raise UserError(f"{where} has no image; give at least one")
    return pixels, numbers


def from_dataset(
    train: Any,
    test: Any,
    classes: Sequence[str] | None = None,
    name: str = "custom",
    image_size: int | None = None,
    validation: Any = None,
) -> ImageData:
    """A data set from map-style Datasets that yield (image, whole-number label), read once into memory.

    An image is a PIL image, a uint8 tensor (3, H, W) or (1, H, W), or a float tensor in [0, 1] of that shape. They are
    resized to `image_size`; None keeps their size, which must then be one and square. `classes` None: the Dataset's own
    `classes`. Where the `classes` of test or validation are others than train's, labels are brought to train's numbers
    by name. Leave random transforms and normalisation out: they belong to the recipe.
    Raises UserError for other images and labels, and for classes that train does not have.
    """
    known = classes if classes is not None else getattr(train, "classes", None)
    ours = _class_names(train)

    def read(dataset: Any, split: str) -> tuple[Tensor, Tensor]:
        images, labels = _read(dataset, name, image_size)
        return images, _renumbered(labels, _class_names(dataset), ours, f"{name}: {split}")

    held_out = None if validation is None else read(validation, "validation")
    return from_arrays(read(train, "train"), read(test, "test"), known, name, held_out)


def _class_names(dataset: Any) -> list[Any] | None:
    """The names that a Dataset gives its labels, those of the one that it is a Subset of too; None for none."""
    while not hasattr(dataset, "classes") and isinstance(dataset, Subset):
        dataset = dataset.dataset
    names = getattr(dataset, "classes", None)
    return list(names) if isinstance(names, (list, tuple)) else None


def _renumbered(labels: Tensor, names: list[Any] | None, ours: list[Any] | None, where: str) -> Tensor:
    """`labels`, which mean `names`, in the numbers that `ours` give the same names (torchvision's ImageFolder counts
    only the folders that are there)."""
    if names is None or ours is None or names == ours:
        return labels
    strange = [name for name in names if ours.count(name) != 1 or names.count(name) != 1]
    if strange or not (int(labels.min()) >= 0 and int(labels.max()) < len(names)):
        raise UserError(
            f"{where} has other classes than train ({', '.join(map(str, (strange or names)[:5]))})\n"
            "give Datasets whose labels mean the same, or those of one list of classes"
        )
    return torch.tensor([ours.index(name) for name in names])[labels]


def _read(dataset: Any, name: str, image_size: int | None) -> tuple[Tensor, Tensor]:
    images, labels = [], []
    for row in range(len(dataset)):
        image, label = dataset[row]
        pixels = _pixels(image, f"{name}: image {row}")
        images.append(pixels if image_size is None else Fit("resize", image_size).apply(pixels))
        labels.append(_label(label, f"{name}: label {row}"))
    shapes = {image.shape for image in images}
    if len(shapes) != 1:
        raise UserError(f"{name}: the images have {len(shapes)} sizes (or there are none); give image_size")
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), torch.tensor(labels)


def _label(label: Any, where: str) -> int:
    try:
        plain: Any = label.item() if isinstance(label, (Tensor, np.ndarray)) else label
        return operator.index(plain)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"{where} is {label!r}; give one whole number, the number of the class") from None


def _pixels(image: Any, where: str) -> Pixels:
    """RGB uint8 (H, W, 3) of what a Dataset yields."""
    if isinstance(image, Image.Image):
        if image.mode == "I" and image.format is None:  # of a file they are 16 bits, as Pillow hands them out
            raise UserError(f"{where} has 32-bit pixels (mode I), which have no stated range; convert them to L or RGB")
        try:
            return decode(image)[0]
        except BadImageError as error:
            raise UserError(f"{where} cannot be decoded: {error}") from None
    tensor = torch.as_tensor(image)
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        raise UserError(f"{where} is {tuple(tensor.shape)}; give a PIL image or a tensor (3, H, W)")
    if tensor.is_floating_point():
        if not (float(tensor.min()) >= 0.0 and float(tensor.max()) <= 1.0):
            raise UserError(
                f"{where} has values {float(tensor.min()):.2f}..{float(tensor.max()):.2f}; give floats in [0, 1], "
                "not normalised (the recipe normalises)"
            )
        tensor = (tensor * 255.0).round()
    elif tensor.dtype != torch.uint8:
        raise UserError(f"{where} has {tensor.dtype} values; give uint8, or floats in [0, 1]")
    return np.ascontiguousarray(tensor.to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).numpy())


def _digests(images: Tensor) -> Digests:
    digests = [np.frombuffer(image_digest(image), dtype=np.uint8) for image in images.permute(0, 2, 3, 1).numpy()]
    return np.stack(digests)


def _statistics(images: Tensor) -> tuple[Channels, Channels]:
    """Mean and standard deviation per channel in [0, 1] units, in blocks so that memory stays small."""
    total = torch.zeros(2, 3, dtype=torch.float64)
    for block in torch.split(images, 1024):
        levels = block.to(torch.float64).div_(255.0)
        total += torch.stack([levels.sum(dim=(0, 2, 3)), levels.square().sum(dim=(0, 2, 3))])
    mean, square = total / (len(images) * images.shape[-1] ** 2)
    std = (square - mean.square()).clamp_min(0.0).sqrt()
    return six_digits(mean.tolist()), six_digits(std.tolist())
