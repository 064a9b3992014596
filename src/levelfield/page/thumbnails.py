"""Small pictures of test images, for the page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from levelfield.errors import UserError
from levelfield.tables.table import StudyTable

SIDE_PX: Final = 96
"""Larger images are scaled down to this side."""
_PICTURE: Final = re.compile(r'<img alt="Test image (\d+), [^"]*" src="data:image/png;base64,([^"]+)"')


def images_in(page: str) -> dict[int, bytes]:
    """The thumbnails (PNG) that a written page holds, by test index: for writing it anew where the data is not."""
    return {int(index): base64.b64decode(picture) for index, picture in _PICTURE.findall(page)}


def images_of(table: StudyTable, data_dir: Path | str | None = None) -> Callable[[int], bytes | None]:
    """A function from test index to PNG, for the data of the table's first measured panel.

    Raises UserError where that data cannot be opened, or is not what the rows were tested on.
    """
    from PIL import Image

    from levelfield.data import open_data

    spec = next((row.runs.spec for row in table.measured if row.runs.spec is not None), None)
    if spec is None:
        raise UserError("no row says on which data it was tested, so no images can be shown")
    data = open_data(spec.data, data_dir)
    if spec.data.checksum is not None and data.checksum != spec.data.checksum:
        raise UserError(f"the data set {spec.data.name} found here is not the one that the rows were tested on")
    test = data.test
    position = {int(index): place for place, index in enumerate(test.index)}

    def png(index: int) -> bytes | None:
        if index not in position:
            return None
        pixels = test.read(test.index.new_tensor([position[index]]))[0]
        image = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
        image.thumbnail((SIDE_PX, SIDE_PX))
        out = io.BytesIO()
        image.save(out, "PNG", optimize=True)
        return out.getvalue()

    return png
