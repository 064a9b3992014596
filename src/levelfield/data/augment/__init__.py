"""Batched augmentation, mixing and targets, on the device where the images are. Import them from here."""

from levelfield.data.augment.crop import check_crop
from levelfield.data.augment.mix import BatchMix, MixPlan, build_mix
from levelfield.data.augment.pipeline import BatchAugment, EvalTransform, build_augment, build_eval_transform
from levelfield.data.augment.targets import soft_targets

__all__ = [
    "BatchAugment",
    "BatchMix",
    "EvalTransform",
    "MixPlan",
    "build_augment",
    "build_eval_transform",
    "build_mix",
    "check_crop",
    "soft_targets",
]
