"""Data sets, the two loaders, and augmentation. Import what others use from here; torch comes with what is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levelfield.data.augment import build_augment, build_eval_transform, build_mix, soft_targets
    from levelfield.data.loading.loader import Batch, Loader, make_loader
    from levelfield.data.loading.open_data import open_data
    from levelfield.data.loading.own_images import from_arrays, from_dataset
    from levelfield.data.store.splits import ImageData, Split, hold_out

_HOMES = {
    "levelfield.data.augment": ("build_augment", "build_eval_transform", "build_mix", "soft_targets"),
    "levelfield.data.loading.loader": ("Batch", "Loader", "make_loader"),
    "levelfield.data.loading.open_data": ("open_data",),
    "levelfield.data.loading.own_images": ("from_arrays", "from_dataset"),
    "levelfield.data.store.splits": ("ImageData", "Split", "hold_out"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Batch",
    "ImageData",
    "Loader",
    "Split",
    "build_augment",
    "build_eval_transform",
    "build_mix",
    "from_arrays",
    "from_dataset",
    "hold_out",
    "make_loader",
    "open_data",
    "soft_targets",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'levelfield.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
