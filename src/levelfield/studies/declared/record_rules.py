"""What a record may not declare: its rules are the same for all, so that times can be set beside one another."""

from __future__ import annotations

from levelfield.errors import UserError
from levelfield.spec import RunSpec


def check_declared(spec: RunSpec) -> None:
    """Raise UserError where `spec` breaks a rule: all training images, from scratch, all test images, seed 0."""
    validation = spec.recipe.validation if spec.data.validation is None else spec.data.validation
    broken = {
        "recipe.validation": "a record trains on the whole train split" if validation else "",
        "data.train_limit": "a record trains on the whole train split" if spec.data.train_limit is not None else "",
        "data.test_limit": "a record is tested on every test image" if spec.data.test_limit is not None else "",
        "model.start_from": "a record starts from scratch" if spec.model.start_from is not None else "",
        "recipe.distil": "a record starts from scratch, without a teacher that was trained before"
        if spec.recipe.distil is not None
        else "",
        "seed": "a record's seeds are 0 to n - 1, and none is chosen" if spec.seed else "",
    }
    for key, rule in broken.items():
        if rule:
            raise UserError(f"{key} cannot be set: {rule}\nleave {key} out, or time the run with `levelfield train`")
