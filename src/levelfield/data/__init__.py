"""Data sets, the two loaders, and augmentation. Import what others use from here."""

from levelfield.data.augment import build_augment, build_eval_transform, build_mix, soft_targets
from levelfield.data.loading.loader import Batch, Loader, make_loader
from levelfield.data.loading.open_data import open_data
from levelfield.data.loading.own_images import from_arrays, from_dataset
from levelfield.data.store.splits import ImageData, Split, hold_out

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
