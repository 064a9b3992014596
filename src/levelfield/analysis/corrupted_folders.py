"""Sets of test images that others made of CIFAR, read where they are at hand: CIFAR-10.1, CIFAR-10-C, CIFAR-100-C.

CIFAR-C (zenodo.org/records/2535967): labels.npy and a file a corruption, uint8 (5 N, 32, 32, 3), severity by severity.
CIFAR-10.1 (Recht et al., arXiv 1806.00451): cifar10.1_v6_data.npy and cifar10.1_v6_labels.npy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from levelfield.data.sources.catalog import entry
from levelfield.data.store.resize import Fit
from levelfield.data.store.splits import centre_crop
from levelfield.errors import UserError
from levelfield.spec import DataSpec
from levelfield.training.load_finished_run import LoadedRun

BATCH = 250
Levels = Callable[[], Iterator[Iterator[tuple[Tensor, NDArray[np.int64]]]]]


def read_sets(folder: Path, run: LoadedRun) -> list[tuple[str, Levels]]:
    """Each set of `folder` by name, with its images level by level, fitted as the run's test images were.

    Raises UserError for a folder without such sets, and for a run that was not trained on the CIFAR that they are of.
    """
    folder = folder.resolve()
    found: list[tuple[str, Levels]] = []
    for data in sorted(folder.glob("cifar10.1_*_data.npy")):
        found.append(_set(data.stem.removesuffix("_data"), data, Path(str(data).replace("_data", "_labels")), 1, run))
    if (folder / "labels.npy").is_file():
        for data in sorted(folder.glob("*.npy")):
            if data.stem != "labels":
                found.append(_set(f"{folder.name}/{data.stem}", data, folder / "labels.npy", 5, run))
    if not found:
        raise UserError(
            f"{folder} holds neither CIFAR-10.1 (cifar10.1_v6_data.npy) nor CIFAR-C (labels.npy, fog.npy, ...)\n"
            "give the folder that holds the .npy files"
        )
    return found


def _set(name: str, data: Path, labels: Path, levels: int, run: LoadedRun) -> tuple[str, Levels]:
    images, label = _array(data), _array(labels).astype(np.int64).ravel()
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or len(images) != len(label):
        raise UserError(
            f"{data} holds {images.dtype} {images.shape}, not uint8 images (N, H, W, 3) for {len(label)} labels\n"
            "get the set again"
        )
    if len(images) % levels:
        raise UserError(f"{data} holds {len(images):,} images, which are not {levels} levels of as many\nget it again")
    classes = int(label.max()) + 1
    if not _is_of(run.spec.data, classes):
        raise UserError(
            f"{data} is of CIFAR-{classes}, the run {run.folder.path} was trained on {run.spec.data.name}\n"
            "give the set of the data that the runs were trained on"
        )
    size = run.spec.model.image_size
    assert size is not None
    fit = Fit(run.spec.data.fit, run.spec.data.resize_px or size, run.spec.data.interpolation)
    each = len(images) // levels

    def level(begin: int) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
        for start in range(begin, begin + each, BATCH):
            stop = min(start + BATCH, begin + each)
            pixels = np.stack([fit.apply(np.ascontiguousarray(one)) for one in images[start:stop]])
            yield centre_crop(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), size), label[start:stop]

    return name, lambda: (level(begin) for begin in range(0, len(images), each))


def folders_for(data: DataSpec, folders: Sequence[Path], every: Sequence[DataSpec]) -> list[Path]:
    """Those of `folders` that runs of `data` are scored on: not those whose sets are of `every` other data of a study
    alone. What is of none of it is for all, and refused where it is read."""
    fits = {folder: [one for one in every if _fits(folder, one)] for folder in folders}
    return [folder for folder in folders if not fits[folder] or data in fits[folder]]


def _fits(folder: Path, data: DataSpec) -> bool:
    labels = [path for name in ("labels.npy", "cifar10.1_*_labels.npy") for path in sorted(folder.glob(name))]
    return bool(labels) and all(_is_of(data, int(_array(path).max()) + 1) for path in labels)


def _is_of(data: DataSpec, classes: int) -> bool:
    """Whether it is CIFAR with so many classes, by its name or its content: other data with as many has others."""
    cifar = entry(f"cifar{classes}")
    return cifar is not None and (entry(data.name) is cifar or data.checksum == cifar.checksum)


def _array(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}\nget the set again") from None
