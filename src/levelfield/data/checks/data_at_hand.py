"""Whether the data that a run was made with is at hand, decoded: looked up without decoding anything."""

from __future__ import annotations

from pathlib import Path

from levelfield.data.sources.locate import find
from levelfield.data.store.store import OnBadImage, Store, folder_of, open_store
from levelfield.errors import UserError


def at_hand(name: str, checksum: str, data_dir: Path | str | None, on_bad_image: OnBadImage) -> Store | None:
    """The store of the data set `name` where it is decoded already and its content is that of `checksum`, else None.

    Nothing is decoded for it: a report must not take minutes because somebody has a data set.
    """
    try:
        store = open_store(folder_of(find(name, data_dir), on_bad_image))
    except UserError:
        return None
    return store if store is not None and store.index.checksum == checksum else None
