"""Class folders: `train/<class>/...` and `test/<class>/...` (or `val`), or `<class>/...` without given splits.

Also ImageNet's form and torchvision's ImageFolder. Classes are the folder names, sorted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from levelfield.data.sources.archives import FolderTree
from levelfield.data.sources.cut_test_split import UNUSED_VALIDATION, with_test
from levelfield.data.sources.readers.contract import FileRecords, Records, Source
from levelfield.errors import UserError

EXTENSIONS: Final = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif",
    ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm", ".avif",
))  # fmt: skip
_ENDS: Final = tuple(EXTENSIONS)
_VALIDATION: Final = ("val", "valid", "validation")
_SPLITS: Final = {"train": ("train", "training"), "test": ("test", "testing", *_VALIDATION)}

_LOOKED_INTO: Final = 20
"""Class folders that `detect` looks into before it takes a folder for something else."""


def split_folders(folder: Path) -> dict[str, Path]:
    """The folders of the splits: of the test names the first that holds class folders; empty without a train folder."""
    found = {}
    for split, names in _SPLITS.items():
        there = [folder / name for name in names if (folder / name).is_dir()]
        if there:
            found[split] = next((path for path in there if class_folders(path)), there[0])
    return found if "train" in found else {}


def class_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def detect(folder: Path) -> bool:
    """Whether `folder` holds two or more class folders and images in them, in split folders or not."""
    classes = class_folders(split_folders(folder).get("train", folder))
    return len(classes) > 1 and any(_any_image(path) for path in classes[:_LOOKED_INTO])


def _any_image(folder: Path) -> bool:
    return any(path.suffix.lower() in EXTENSIONS or (path.is_dir() and _any_image(path)) for path in folder.iterdir())


def read(folder: Path) -> Source:
    """The data set in `folder`; without given splits a stratified, fixed fifth is the test set.

    Raises UserError where train and test do not have the same classes (as when a validation folder holds all images in
    one folder), and for a class without training images.
    """
    splits = split_folders(folder)
    classes = [path.name for path in class_folders(splits.get("train", folder))]
    listed = {split: _list(path, classes, split) for split, path in (splits or {"train": folder}).items()}
    _check(folder, classes, listed)
    test = splits.get("test")
    unused = any((folder / name).is_dir() and folder / name != test for name in _VALIDATION) if test else False
    return with_test(Source(tuple(classes), listed, (UNUSED_VALIDATION,) if unused else ()))


def _list(folder: Path, classes: list[str], split: str) -> Records:
    strange = [path.name for path in class_folders(folder) if path.name not in set(classes)]
    if strange:
        raise UserError(
            f"{folder} has class folders that train does not have: {', '.join(strange[:3])}\n"
            f"{split} must hold the same class folders as train (a list of labels beside one folder is not read)"
        )
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        if not (folder / name).is_dir():
            continue
        files = [path for path in FolderTree(folder / name).names() if path.lower().endswith(_ENDS)]
        paths += [f"{name}/{path}" for path in files]
        labels += [label] * len(files)
    return FileRecords(folder, paths, np.array(labels, dtype=np.int64))


def _check(folder: Path, classes: list[str], listed: dict[str, Records]) -> None:
    counts = {split: np.bincount(records.labels, minlength=len(classes)) for split, records in listed.items()}
    for split, per_class in counts.items():
        empty = [name for name, count in zip(classes, per_class, strict=True) if count == 0]
        if empty and (split == "train" or len(empty) == len(classes)):
            raise UserError(
                f"{folder}: {len(empty)} of {len(classes)} classes have no {split} images: {', '.join(empty[:3])}\n"
                "every class folder needs images; remove the empty ones"
            )
