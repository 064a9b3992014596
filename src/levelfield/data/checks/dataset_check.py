"""What is in a data set: counts, bad images, sizes, duplicates, statistics, and whether it is the official content."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from levelfield.data.cache_folder import only_one
from levelfield.data.checks.duplicates import Copies, Duplicates, find_duplicates, name_copies
from levelfield.data.loading.open_data import notes, official
from levelfield.data.sources import catalog
from levelfield.data.sources.locate import find
from levelfield.data.sources.readers.contract import Found
from levelfield.data.store.build import build
from levelfield.data.store.store import SplitIndex, Store, folder_of, open_store
from levelfield.progress import OnProgress

SHOWN: Final = 5
"""Examples named of each kind of finding."""


@dataclass(frozen=True)
class Report:
    """Everything that `levelfield data check` says; `verdict` puts `official` into words."""

    name: str
    form: str
    path: str | None
    classes: tuple[str, ...]
    splits: dict[str, SplitIndex]
    duplicates: Duplicates
    copies: tuple[Copies, ...]
    checksum: str
    official: bool | None
    verdict: str
    notes: tuple[str, ...]


def check_data(
    name: str, data_dir: Path | str | None = None, *, fresh: bool = False, progress: OnProgress | None = None
) -> Report:
    """Examine a data set; images that do not decode are counted, not fatal. `fresh` decodes everything again.

    Raises UserError where the set is unknown, missing or damaged as a whole.
    """
    found = find(name, data_dir)
    store = store_of_readable(found, fresh=fresh, progress=progress)
    index = store.index
    return Report(
        name=index.name,
        form=index.form,
        path=index.path,
        classes=tuple(index.classes),
        splits=index.splits,
        duplicates=find_duplicates(store),
        copies=name_copies(store, found),
        checksum=index.checksum,
        official=official(store),
        verdict=_verdict(store),
        notes=notes(store),
    )


def store_of_readable(found: Found, *, fresh: bool = False, progress: OnProgress | None = None) -> Store:
    """The store of those images of `found` that decode, built where there is none, or where `fresh` asks for it."""
    strict, lenient = folder_of(found, "fail"), folder_of(found, "skip")
    store = None if fresh else open_store(strict) or open_store(lenient)
    if store is None:
        with only_one(lenient), only_one(strict):
            store = build(found, lenient, None, "skip", progress)
            if not any(split.bad for split in store.index.splits.values()):  # then it is what "fail" would have made
                shutil.rmtree(strict, ignore_errors=True)
                lenient.rename(strict)
                store = Store(strict, store.index)
    return store


def _verdict(store: Store) -> str:
    index = store.index
    if (same := catalog.BY_CHECKSUM.get(index.checksum)) is not None:
        return f"the official {same.title}, by checksum of its pixels and labels"
    known = catalog.entry(index.name)
    if known is None:
        return "other data: not a known official set"
    if known.checksum is not None:
        return f"other data: not the official content of {known.title}"
    if official(store) is None:
        return f"counts are those of {known.title}; no checksum of it is on record"
    return f"other data: the counts are not those of {known.title}"


def unbalanced(split: SplitIndex) -> str:
    """The spread of images per class: '500' where all are alike, else '26-30'."""
    counts = np.array(split.per_class)
    return str(counts.min()) if counts.min() == counts.max() else f"{counts.min()}-{counts.max()}"
