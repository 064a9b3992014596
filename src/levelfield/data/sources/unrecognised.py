"""Why a folder of one's own is no data set: what it holds, beside what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from levelfield.data.sources.readers import class_folders
from levelfield.errors import UserError

EXPECTED: Final = {
    "folder": "expected <class>/*.jpg, or train/<class>/*.jpg and test/<class>/*.jpg",
    "parquet": "expected train*.parquet, and test*.parquet where there is a test set",
}


def unrecognised(prefix: str, path: Path) -> UserError:
    """The error for the folder `path`, given as `prefix`:PATH, in which no form of a data set is recognised."""
    if prefix == "parquet":
        return UserError(f"{path} holds no Parquet files\n{EXPECTED[prefix]}")
    for inner in class_folders.class_folders(path):
        if inner.name not in ("train", "test") and class_folders.detect(inner):
            return UserError(f"{path}: no data set, but one folder below it\ndid you mean folder:{inner}?")
    return UserError(f"{_cause(class_folders.split_folders(path).get('train', path))}\n{EXPECTED[prefix]}")


def may_not_be_read(error: PermissionError) -> UserError:
    """The error for a file or folder of a data set that this user may not read."""
    return UserError(
        f"{error.filename} cannot be read: {error.strerror}\n"
        "give yourself the right to read it (and to enter it, if it is a folder), or take it out of the data set"
    )


def _cause(folder: Path) -> str:
    """What is amiss with the folder in which class folders were looked for."""
    if not any(folder.iterdir()):
        return f"{folder} is empty"
    classes = class_folders.class_folders(folder)
    if len(classes) > 1:
        return f"{folder} has {len(classes)} class folders, and no images in them ({', '.join(_endings())})"
    if classes:
        return f"{folder} has one class folder, {classes[0].name}: two classes or more are needed"
    flat = sum(path.suffix.lower() in class_folders.EXTENSIONS for path in folder.iterdir())
    if flat:
        lie = "1 image lies" if flat == 1 else f"{flat:,} images lie"
        return f"{folder}: {lie} in the folder itself: put those of each class into a folder of its own"
    return f"{folder} has neither class folders nor images ({', '.join(_endings())})"


def _endings() -> list[str]:
    return [*sorted(class_folders.EXTENSIONS)[:4], "..."]
