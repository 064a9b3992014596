"""What the places that a planned run names hold now: the content of its data, and of the weights that it starts from.

Asked only where it decides something, as data that was never opened here is decoded for it; each place once.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from levelfield.errors import UserError
from levelfield.runs import RunFolder
from levelfield.spec import DataSpec, RunSpec
from levelfield.spec.weights_taken import KNOWN_BY, weights_taken


class Contents:
    """The digests of data and weights as they are now. A place that is not here has none (None)."""

    def __init__(self) -> None:
        self.checksum, self.weights = cache(_checksum), cache(_weights)

    def filled(self, declared: RunSpec) -> RunSpec:
        """`declared` with the digests of what is here filled in."""
        data = declared.data
        if data.checksum is None:
            declared = declared.changed({"data.checksum": self.checksum(data, declared.execution.data_dir)})
        for key, taken in weights_taken(declared).items():
            if taken.digest is None and not taken.of_row:
                found = (self.weights(taken.place), _identity(taken.place))
                declared = declared.changed(dict(zip(KNOWN_BY[key], found, strict=False)))
        return declared


def _checksum(data: DataSpec, data_dir: str | None) -> str | None:
    """The checksum of a data set, as a run that is resolved now would get it."""
    from levelfield.data.sources.locate import find
    from levelfield.data.store.resize import Fit
    from levelfield.data.store.store import folder_of, open_store

    side = data.resize_px or data.image_size
    try:
        found = find(data.name, data_dir)
        store = open_store(folder_of(found, data.on_bad_image))
        if store is None:
            from levelfield.data.loading.open_data import prepare
            from levelfield.progress import on_stderr

            with on_stderr() as progress:
                fit = None if side is None else Fit(data.fit, side)
                store = prepare(found, data.on_bad_image, fit, progress=progress)
    except UserError:
        return None
    except ModuleNotFoundError as error:  # what reads results without torch decodes no images
        if error.name != "torch":
            raise
        return None
    return store.index.checksum


def _weights(source: str) -> str | None:
    """The digest of a file's or run's weights; weights that would have to be downloaded are left alone."""
    from levelfield.models import weights_digest

    try:
        return weights_digest(source) if Path(source).expanduser().exists() else None
    except UserError:
        return None


def _identity(place: str) -> str | None:
    """The identity of the run in a folder."""
    folder = RunFolder(Path(place).expanduser())
    return folder.identity if folder.exists() else None
