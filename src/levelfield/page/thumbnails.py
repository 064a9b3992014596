"""Small pictures of test images, for the page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from levelfield.errors import UserError
from levelfield.spec import RunSpec
from levelfield.tables.table import StudyTable

if TYPE_CHECKING:
    from levelfield.data.sources.readers.contract import Pixels

SIDE_PX: Final = 96
"""Larger images are scaled down to this side."""
_PICTURE: Final = re.compile(r'<img alt="Test image (\d+), [^"]*" src="data:image/png;base64,([^"]+)"')


_TESTED_ON: Final = re.compile(r'<meta name="test-images" content="([0-9a-f]+)">')


def tested_on(table: StudyTable) -> str:
    """What a page says in its head of the data that its thumbnails are of: the checksum, where it is known."""
    spec = _spec_of(table)
    return f'<meta name="test-images" content="{spec.data.checksum}">\n' if spec and spec.data.checksum else ""


def images_in(page: str) -> dict[int, bytes]:
    """The thumbnails (PNG) that a written page holds, by test index: for writing it anew where the data is not."""
    return {int(index): base64.b64decode(picture) for index, picture in _PICTURE.findall(page)}


def images_of(
    table: StudyTable, data_dir: Path | str | None = None, page: Path | None = None
) -> Callable[[int], bytes | None]:
    """A function from test index to PNG, for the data of the table's first measured panel.

    Pictures that `page`, as it was written before, holds of the same data are taken from there: the data is opened only
    for others. Raises UserError where that data cannot be opened, or is not what the rows were tested on.
    """
    spec = _spec_of(table)
    if spec is None:
        raise UserError("no row says on which data it was tested, so no images can be shown")
    kept = _kept(page, spec.data.checksum)
    if not kept:
        return _read_from(spec, data_dir)

    @cache
    def read() -> Callable[[int], bytes | None]:
        try:
            return _read_from(spec, data_dir)
        except UserError:
            return lambda index: None

    return lambda index: kept[index] if index in kept else read()(index)


def _spec_of(table: StudyTable) -> RunSpec | None:
    return next((row.runs.spec for row in table.measured if row.runs.spec is not None), None)


def _kept(page: Path | None, checksum: str | None) -> dict[int, bytes]:
    """The pictures in a written page, if they are of the data with `checksum`."""
    if page is None or checksum is None or not page.is_file():
        return {}
    text = page.read_text(encoding="utf-8", errors="replace")
    said = _TESTED_ON.search(text)
    return images_in(text) if said is not None and said[1] == checksum else {}


def _read_from(spec: RunSpec, data_dir: Path | str | None) -> Callable[[int], bytes | None]:
    """The test images of `spec`'s data as PNG, by test index; from the store without torch, where they are there."""
    from levelfield.data.sources.locate import find
    from levelfield.data.store.stored_test_images import stored_test_images

    found = find(spec.data.name, data_dir)  # where there is none, that is said before torch is loaded
    checksum, image = stored_test_images(spec.data, found) or _opened(spec, data_dir)
    if spec.data.checksum is not None and checksum != spec.data.checksum:
        raise UserError(f"the data set {spec.data.name} found here is not the one that the rows were tested on")

    from PIL import Image

    def png(index: int) -> bytes | None:
        pixels = image(index)
        if pixels is None:
            return None
        picture = Image.fromarray(pixels)
        picture.thumbnail((SIDE_PX, SIDE_PX))
        out = io.BytesIO()
        picture.save(out, "PNG", optimize=True)
        return out.getvalue()

    return png


def _opened(spec: RunSpec, data_dir: Path | str | None) -> tuple[str, Callable[[int], Pixels | None]]:
    """As `stored_test_images`, of data that is decoded into the store first, or whenever it is read."""
    from levelfield.data import open_data

    data = open_data(spec.data, data_dir)
    test = data.test
    position = {int(index): place for place, index in enumerate(test.index)}

    def image(index: int) -> Pixels | None:
        if index not in position:
            return None
        pixels = test.read(test.index.new_tensor([position[index]]))[0]
        return pixels.permute(1, 2, 0).contiguous().numpy()

    return data.checksum, image
