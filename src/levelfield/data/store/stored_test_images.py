"""Test images as a store keeps them, read without torch: for pages, which show a few of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from levelfield.data.sources.readers.contract import Found, Pixels
from levelfield.data.store.resize import Fit
from levelfield.data.store.store import NATIVE, folder_of, open_store
from levelfield.spec import DataSpec


def stored_test_images(spec: DataSpec, found: Found) -> tuple[str, Callable[[int], Pixels | None]] | None:
    """The checksum of the data in the store of `found`, and a function from test index to what is tested on.

    That is uint8 (image_size, image_size, 3), as `open_data` gives it; None for an index that is none. None where there
    is no store, or not with the pixels that `spec` wants.
    """
    store = open_store(folder_of(found, spec.on_bad_image))
    if store is None:
        return None
    side = spec.resize_px or spec.image_size or store.index.native_px
    if side is None:
        return None
    variant = NATIVE if side == store.index.native_px else str(Fit(spec.fit, side, spec.interpolation))
    if not store.has(variant):
        return None
    images = np.load(store.images("test", variant), mmap_mode="r")  # (N, 3, side, side)
    order = store.samples("test").order
    crop = min(spec.image_size or side, side)
    start = (side - crop) // 2

    def image(index: int) -> Pixels | None:
        if not 0 <= index < len(order):
            return None
        window = images[order[index], :, start : start + crop, start : start + crop]
        return np.ascontiguousarray(window.transpose(1, 2, 0))

    return store.index.checksum, image
