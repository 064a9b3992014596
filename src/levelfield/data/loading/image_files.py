"""Which image files somebody means: files, folders, patterns, CSV files with a column of paths, and lines of stdin."""

from __future__ import annotations

import csv
import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, TextIO

from levelfield.data.sources.archives import FolderTree
from levelfield.data.sources.readers.class_folders import EXTENSIONS
from levelfield.errors import UserError

COLUMNS: Final = ("path", "image", "file", "filename", "file_name")
"""The column of a CSV file that names images, the first of these that it has; a file with one column needs none."""

_REMEDY: Final = "give files, a folder, a pattern, a .csv file of paths, or - for stdin"
_ENDS: Final = tuple(EXTENSIONS)


def image_files(named: Sequence[str], stdin: TextIO) -> list[str]:
    """The paths of the images that `named` stand for, in its order; those of a folder or pattern sorted.

    `-`: a path on every line of `stdin`. A folder: every image in it, at any depth. A .csv file: its column of paths
    (see COLUMNS), from the file's folder on. A pattern (`*`, `?`, `[`; `**`: at any depth) where no file has that name.
    Anything else is the path of an image, there or not. Raises UserError where one of them names no image at all.
    """
    found: list[str] = []
    for name in named:
        before = len(found)
        if name == "-":
            found += [line.strip() for line in stdin if line.strip()]
        elif Path(name).is_dir():
            found += [str(Path(name) / inside) for inside in FolderTree(Path(name)).names() if _is_image(inside)]
        elif name.lower().endswith(".csv"):
            found += _of_csv(Path(name))
        elif any(sign in name for sign in "*?[") and not Path(name).exists():
            found += sorted(path for path in glob.glob(name, recursive=True) if Path(path).is_file())  # noqa: PTH207
        else:
            found.append(name)
        if len(found) == before:
            raise UserError(f"no image in {'stdin' if name == '-' else name}\n{_REMEDY}")
    if not found:
        raise UserError(f"no image named\n{_REMEDY}")
    return found


def _is_image(name: str) -> bool:
    return name.lower().endswith(_ENDS)


def _of_csv(path: Path) -> Iterable[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            columns, rows = list(lines.fieldnames or ()), list(lines)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as CSV: {error}") from None
    if headless := next((name for name in columns if _is_image(name)), None):
        raise UserError(f"the first line of {path} names an image ({headless}), not columns\nwrite 'path' above it")
    if not rows:
        return []
    column = next((name for name in COLUMNS if name in columns), columns[0] if len(columns) == 1 else None)
    if column is None:
        raise UserError(f"{path} has no column of paths (it has {', '.join(columns)})\nname it {COLUMNS[0]}")
    if empty := next((number for number, row in enumerate(rows, start=1) if not row[column]), None):
        raise UserError(f"{path}: row {empty} below the heading names no image in {column}\nfill it in, or take it out")
    return [str(path.parent / row[column]) for row in rows]
