"""Data sets, the two loaders, and augmentation. Import what others use from here."""

from levelfield.data.augment import build_augment, build_eval_transform, build_mix, soft_targets

__all__ = ["build_augment", "build_eval_transform", "build_mix", "soft_targets"]
