"""Data sets whose splits and labels are lists beside the images: Tiny ImageNet, CUB-200-2011, Stanford Dogs."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np

from levelfield.data.sources.archives import Tree, TreeRecords, below, required
from levelfield.data.sources.readers.contract import Source
from levelfield.errors import UserError

MARKERS: Final = {
    "Tiny ImageNet": "val/val_annotations.txt",
    "CUB-200-2011": "train_test_split.txt",
    "Stanford Dogs": "train_list.mat",
}


def detect(tree: Tree) -> str | None:
    """Which of the three forms `tree` holds, or None."""
    return next((form for form, marker in MARKERS.items() if below(tree, marker) is not None), None)


def read(tree: Tree, form: str, images: Tree | None = None) -> Source:
    """Both splits of `form`; `images` is the tree of Stanford Dogs' images where they are an archive of their own."""
    part = required(tree, MARKERS[form], form)
    if form == "Tiny ImageNet":
        return _tiny_imagenet(part)
    if form == "CUB-200-2011":
        return _cub(part)
    return _dogs(part, images or tree)


def _records(tree: Tree, samples: list[tuple[str, int]]) -> TreeRecords:
    return TreeRecords(tree, [name for name, _ in samples], np.array([label for _, label in samples], dtype=np.int64))


def _tiny_imagenet(tree: Tree) -> Source:
    """Train by class folder; the test set is the validation folder, labelled by `val_annotations.txt`."""
    paths = [name.split("/") for name in tree.names() if name.startswith("train/") and name.endswith(".JPEG")]
    wnids = sorted({parts[1] for parts in paths})
    numbers = {wnid: number for number, wnid in enumerate(wnids)}
    train = [("/".join(parts), numbers[parts[1]]) for parts in paths]
    test = []
    for line in tree.read(MARKERS["Tiny ImageNet"]).decode().splitlines():
        if not line.strip():
            continue
        name, wnid = line.split("\t")[:2]
        if wnid not in numbers:
            raise UserError(f"{tree.path}: val_annotations.txt names class {wnid}, which has no folder below train/")
        test.append((f"val/images/{name}", numbers[wnid]))
    words: dict[str, str] = {}
    if tree.has("words.txt"):
        words = dict(line.split("\t", 1) for line in tree.read("words.txt").decode().splitlines() if "\t" in line)
    classes = tuple(f"{wnid} {words[wnid].split(',')[0]}" if wnid in words else wnid for wnid in wnids)
    return Source(classes, {"train": _records(tree, train), "test": _records(tree, test)})


def _cub(tree: Tree) -> Source:
    """`images.txt`, `image_class_labels.txt` and `train_test_split.txt` all go by the image's number."""
    paths = _table(tree, "images.txt")
    labels = _table(tree, "image_class_labels.txt")
    training = _table(tree, "train_test_split.txt")
    for name, table in (("image_class_labels.txt", labels), ("train_test_split.txt", training)):
        if table.keys() != paths.keys():
            raise UserError(f"{tree.path}: {name} has {len(table)} entries, but images.txt has {len(paths)}")
    ids = sorted({int(label) for label in labels.values()})
    numbers = {str(number): place for place, number in enumerate(ids)}
    names = _table(tree, "classes.txt") if tree.has("classes.txt") else {}
    classes = tuple(names.get(str(number), str(number)) for number in ids)
    splits: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    for image, path in paths.items():
        splits["train" if training[image] == "1" else "test"].append((f"images/{path}", numbers[labels[image]]))
    return Source(classes, {split: _records(tree, samples) for split, samples in splits.items()})


def _table(tree: Tree, name: str) -> dict[str, str]:
    """'<key> <value>' lines as a mapping."""
    lines = [line.split(maxsplit=1) for line in tree.read(name).decode().splitlines() if line.strip()]
    if any(len(line) != 2 for line in lines):
        raise UserError(f"{tree.path}: {name} has a line without two columns")
    return {key: value.strip() for key, value in lines}


def _dogs(lists: Tree, images: Tree) -> Source:
    """`train_list.mat` and `test_list.mat`: `file_list` below `Images/`, `labels` from 1."""
    from scipy.io import loadmat

    part = below(images, "Images")
    if part is None:
        raise UserError(f"{images.path}: no folder Images beside the lists; extract images.tar there")
    splits: dict[str, list[tuple[str, int]]] = {}
    folders: dict[int, str] = {}
    for split in ("train", "test"):
        table: dict[str, Any] = loadmat(io.BytesIO(lists.read(f"{split}_list.mat")))
        files = [str(cell[0]) for cell in table["file_list"][:, 0]]
        labels = [int(label) - 1 for label in table["labels"][:, 0]]
        splits[split] = [(f"Images/{file}", label) for file, label in zip(files, labels, strict=True)]
        folders |= {label: file.split("/")[0] for file, label in zip(files, labels, strict=True)}
    classes = tuple(folders.get(label, str(label + 1)) for label in range(max(folders) + 1))
    return Source(classes, {split: _records(part, samples) for split, samples in splits.items()})
