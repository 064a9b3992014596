"""Parquet in the Hugging Face image layout: column `image` (struct of `bytes` and `path`, or plain bytes) and `label`.

Split files are `train*.parquet` and `test*.parquet` (or `val*`, `dev*`), in the folder or its `data/`, in any number of
shards, read in the order of their names. Without a test file, or with other names, a stratified, fixed fifth is the
test set. Images are decoded by content: `path` and its extension are only a name.
"""

from __future__ import annotations

import json
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from levelfield.data.sources.archives import inside
from levelfield.data.sources.cut_test_split import UNUSED_VALIDATION, with_test
from levelfield.data.sources.readers.contract import Labels, Records, Source
from levelfield.errors import UserError

_PREFIXES: Final = {"train": ("train",), "test": ("test",), "validation": ("val", "dev")}
_IMAGE_COLUMNS: Final = ("image", "img")
_LABEL_COLUMNS: Final = ("label", "fine_label", "labels")
_CACHED_GROUPS: Final = 4


def shards(folder: Path) -> dict[str, list[Path]]:
    """The files of each split of `folder`: all are train where no name says a split; empty where there are none."""
    for place in (folder, folder / "data"):
        files = sorted(place.glob("*.parquet")) if place.is_dir() else []
        found = {split: [file for file in files if file.name.startswith(start)] for split, start in _PREFIXES.items()}
        found = {split: matching for split, matching in found.items() if matching}
        if "train" in found:
            return found
        if files and not found:
            return {"train": files}
    return {}


def read(folder: Path) -> Source:
    """The data set in `folder`. Raises UserError for damaged files, missing columns or labels without a class."""
    files = shards(folder)
    opened = {split: [(path, _open(path)) for path in paths] for split, paths in files.items()}
    columns = {split: [v for path, file in shard for v in _labels(file, path)] for split, shard in opened.items()}
    names = _class_names(opened["train"][0][1].schema_arrow)
    if names is None:
        names = _names_of({value for values in columns.values() for value in values}, folder)
    numbers = {name: number for number, name in enumerate(names)}
    notes = _choose_test(files, columns)
    splits: dict[str, Records] = {}
    for split, values in columns.items():
        labels = np.array([numbers[v] if isinstance(v, str) else v for v in values], dtype=np.int64)
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(names)):
            raise UserError(
                f"{folder}: {split} has labels {labels.min()}..{labels.max()}, but {len(names)} classes are named\n"
                "let labels be 0..classes-1 (rows without a label, -1, must be left out)"
            )
        splits[split] = ParquetRecords(files[split], labels)
    return with_test(Source(tuple(names), splits, notes))


def _choose_test(files: dict[str, list[Path]], columns: dict[str, list[Any]]) -> tuple[str, ...]:
    """Leave `train` and one `test` in both mappings: the validation files where no test files are labelled."""
    if "validation" not in columns:
        return ()
    given = columns.get("test", [])
    if all(value == -1 for value in given):
        files["test"], columns["test"] = files.pop("validation"), columns.pop("validation")
        return ("its test files have no labels: the validation files are the test set",) if given else ()
    del files["validation"], columns["validation"]
    return (UNUSED_VALIDATION,)


def _names_of(values: set[Any], folder: Path) -> list[str]:
    if all(isinstance(value, str) for value in values):
        return sorted(values)
    if all(isinstance(value, int) for value in values) and values:
        return [str(number) for number in range(max(values) + 1)]
    raise UserError(f"{folder}: the label column holds neither whole numbers nor class names throughout")


def _open(path: Path) -> Any:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, error) from None
    for kind, known in (("image", _IMAGE_COLUMNS), ("label", _LABEL_COLUMNS)):
        if not set(known) & set(file.schema_arrow.names):
            raise UserError(f"{path}: no {kind} column; expected one of {', '.join(known)}, "
                            f"found {', '.join(file.schema_arrow.names)}")  # fmt: skip
    return file


def _column(schema: Any, known: tuple[str, ...]) -> str:
    return next(name for name in known if name in schema.names)


def _labels(file: Any, path: Path) -> list[Any]:
    try:
        values = file.read(columns=[_column(file.schema_arrow, _LABEL_COLUMNS)]).column(0).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, error) from None
    if None in values:
        raise UserError(f"{path}: row {values.index(None)} has no label; leave such rows out")
    return list(values)


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})\n"
        "the file is truncated or damaged: copy or download it again"
    )


def _class_names(schema: Any) -> list[str] | None:
    """The `ClassLabel` names from the schema's metadata key `huggingface`, if they are there."""
    metadata = (schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return None
    feature = json.loads(metadata)["info"]["features"].get(_column(schema, _LABEL_COLUMNS), {})
    names = feature.get("names")
    return list(names) if names else None


class ParquetRecords(Records):
    """Images in Parquet shards, read a row group at a time; the last few groups stay in memory."""

    def __init__(self, files: list[Path], labels: Labels) -> None:
        self.files, self.labels = files, labels
        self._groups: list[tuple[int, int]] = []
        starts = [0]
        for number, path in enumerate(files):
            metadata = pq.read_metadata(path)
            for group in range(metadata.num_row_groups):
                self._groups.append((number, group))
                starts.append(starts[-1] + metadata.row_group(group).num_rows)
        self._starts = np.array(starts)
        self._values = lru_cache(_CACHED_GROUPS)(self._read)
        self._lock = threading.Lock()

    def item(self, row: int) -> bytes:
        value = self._value(row)
        data = value["bytes"] if isinstance(value, dict) else value
        if data is None and isinstance(value, dict) and value.get("path"):
            return inside(self.files[0].parent, value["path"]).read_bytes()
        return bytes(data or b"")

    def name(self, row: int) -> str:
        value = self._value(row)
        return (isinstance(value, dict) and value.get("path")) or super().name(row)

    def _value(self, row: int) -> Any:
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        with self._lock:
            return self._values(group)[row - int(self._starts[group])]

    def _read(self, group: int) -> list[Any]:
        number, inside = self._groups[group]
        try:
            file = pq.ParquetFile(self.files[number])
            column = _column(file.schema_arrow, _IMAGE_COLUMNS)
            return list(file.read_row_group(inside, columns=[column]).column(column).to_pylist())
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(self.files[number], error) from None
