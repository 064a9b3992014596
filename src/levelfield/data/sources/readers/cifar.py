"""CIFAR-10 and CIFAR-100 as their home packs them: Python pickles and the binary version, in folders or archives.

Both hold 3,072 bytes an image, planes red, green, blue, rows from the top (Krizhevsky, 2009). Pickles are read by an
unpickler that builds NumPy arrays and plain values and refuses every other name, so that a foreign file runs no code.
"""

from __future__ import annotations

import io
import pickle
from itertools import chain
from typing import Any, Final

import numpy as np

from levelfield.data.sources.archives import Tree, below, required
from levelfield.data.sources.readers.contract import ArrayRecords, Labels, Pixels, Source
from levelfield.errors import UserError

SIDE_PX: Final = 32
_PLANES: Final = 3 * SIDE_PX * SIDE_PX

_ALLOWED: Final = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}

_TEN_TRAIN: Final = tuple(f"data_batch_{number}" for number in range(1, 6))

MARKERS: Final = {
    "cifar-10 pickles": "batches.meta",
    "cifar-100 pickles": "meta",
    "cifar-10 binary": "batches.meta.txt",
    "cifar-100 binary": "fine_label_names.txt",
}
_FILES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "cifar-10 pickles": {"train": _TEN_TRAIN, "test": ("test_batch",)},
    "cifar-100 pickles": {"train": ("train",), "test": ("test",)},
    "cifar-10 binary": {"train": tuple(f"{name}.bin" for name in _TEN_TRAIN), "test": ("test_batch.bin",)},
    "cifar-100 binary": {"train": ("train.bin",), "test": ("test.bin",)},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}")
        return super().find_class(module, name)


def unpickle(data: bytes, where: str) -> dict[str, Any]:
    """The dictionary in an official pickle, keys as text. Raises UserError for code, damage or other content."""
    try:
        value = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UserError(f"{where}: not an official CIFAR pickle ({error})\ncopy or download it again") from None
    if not isinstance(value, dict):
        raise UserError(f"{where}: not an official CIFAR pickle (a {type(value).__name__})")
    return {key.decode() if isinstance(key, bytes) else str(key): content for key, content in value.items()}


def detect(tree: Tree) -> str | None:
    """Which of the four forms `tree` holds, or None."""
    for form, marker in MARKERS.items():
        part = below(tree, marker)
        if part is not None and part.has(_FILES[form]["test"][0]):
            return form
    return None


def read(tree: Tree, form: str) -> Source:
    """Both splits with fine labels. Raises UserError for missing or damaged files."""
    part = required(tree, MARKERS[form], form)
    read_file = _read_pickle if form.endswith("pickles") else _read_binary
    hundred = form.startswith("cifar-100")
    splits = {}
    for split, files in _FILES[form].items():
        pixels, labels, names = zip(*(read_file(part, file, hundred) for file in files), strict=True)
        splits[split] = ArrayRecords(np.concatenate(pixels), np.concatenate(labels), list(chain(*names)))
    return Source(_classes(part, form), splits)


def _classes(part: Tree, form: str) -> tuple[str, ...]:
    marker = MARKERS[form]
    if form.endswith("binary"):
        return tuple(part.read(marker).decode().split())
    meta = unpickle(part.read(marker), f"{part.path}: {marker}")
    names = meta["fine_label_names" if form.startswith("cifar-100") else "label_names"]
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def _read_pickle(part: Tree, name: str, hundred: bool) -> tuple[Pixels, Labels, list[str]]:
    where = f"{part.path}: {name}"
    batch = unpickle(part.read(name), where)
    planes, labels = batch.get("data"), batch.get("fine_labels" if hundred else "labels")
    if not isinstance(planes, np.ndarray) or planes.dtype != np.uint8 or labels is None:
        raise UserError(f"{where}: not an official CIFAR pickle (no data or no labels)")
    if planes.shape != (len(labels), _PLANES):
        raise UserError(f"{where}: {planes.shape} pixels for {len(labels)} labels; expected ({len(labels)}, {_PLANES})")
    names = [each.decode() if isinstance(each, bytes) else str(each) for each in batch.get("filenames", [])]
    return _images(planes), np.array(labels, dtype=np.int64), names


def _read_binary(part: Tree, name: str, hundred: bool) -> tuple[Pixels, Labels, list[str]]:
    head = 2 if hundred else 1
    data = np.frombuffer(part.read(name), dtype=np.uint8)
    if len(data) == 0 or len(data) % (head + _PLANES):
        raise UserError(
            f"{part.path}: {name} has {len(data):,} bytes, no multiple of {head + _PLANES:,}\n"
            "it is truncated or damaged: copy or download it again"
        )
    rows = data.reshape(-1, head + _PLANES)
    return _images(rows[:, head:]), rows[:, head - 1].astype(np.int64), []


def _images(planes: Pixels) -> Pixels:
    return np.ascontiguousarray(planes.reshape(-1, 3, SIDE_PX, SIDE_PX).transpose(0, 2, 3, 1))
