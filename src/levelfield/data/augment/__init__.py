"""Batched augmentation, mixing and targets, on the device where the images are. Import them from here."""

from levelfield.data.augment.crop_and_flip import check_crop
from levelfield.data.augment.mixup_cutmix import build_mix
from levelfield.data.augment.pipeline import EvalTransform, build_augment, build_eval_transform
from levelfield.data.augment.smoothed_targets import soft_targets

__all__ = [
    "EvalTransform",
    "build_augment",
    "build_eval_transform",
    "build_mix",
    "check_crop",
    "soft_targets",
]
