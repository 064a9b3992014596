"""Which keys of a run have an effect where they stand; one that has none counts as left at its default.

The decay of an average that is not kept is such a key: two runs that differ in it alone are one.
"""

from __future__ import annotations

from typing import Any

from levelfield.spec.augment import Augment, Mix
from levelfield.spec.recipe import Averaging, Distil, Freeze, Recipe, Regularisation
from levelfield.spec.run_parts import DataSpec, RunValues
from levelfield.spec.schedule import Warmup
from levelfield.spec.values import Value


def used(spec: RunValues) -> RunValues:
    """`spec` with everything that has no effect on its result at its default, and with `data.validation` filled in.

    Only what the values say by themselves: that a network has no dropout to switch on, they do not.
    """
    recipe = spec.recipe
    validation = recipe.validation if spec.data.validation is None else spec.data.validation
    values: dict[str, Any] = {"data": _used_data(spec.data, validation)}
    values["recipe"] = _used_recipe(recipe, own_drop_path="drop_path" in spec.model.options)
    micro_batch = spec.execution.micro_batch
    if micro_batch is not None and micro_batch >= recipe.batch_size:
        values["execution"] = spec.execution.model_copy(update={"micro_batch": None})
    return spec.model_copy(update=values)


def _used_data(data: DataSpec, validation: float) -> DataSpec:
    changes: dict[str, Any] = {"validation": validation}
    if validation == 0 and data.train_limit is None and data.test_limit is None:
        changes["split_seed"] = default(type(data), "split_seed")
    return data.model_copy(update=changes)


def _used_recipe(recipe: Recipe, own_drop_path: bool) -> Recipe:
    regularisation = recipe.regularisation
    idle = {key: default(Recipe, key) for key in ("name", "description", "validation")}
    plain: dict[str, Any] = {}
    if regularisation.label_smoothing == 0 or not recipe.mix.active:
        plain["smoothing_with_mix"] = default(Regularisation, "smoothing_with_mix")
    if regularisation.drop_path == 0 and not own_drop_path:
        plain["drop_path_mode"] = default(Regularisation, "drop_path_mode")
    return recipe.model_copy(
        update={
            **idle,
            "schedule": _used_schedule(recipe.schedule),
            "phases": tuple(
                phase.model_copy(update={"schedule": _used_schedule(phase.schedule)}) for phase in recipe.phases
            ),
            "augment": _used_augment(recipe.augment),
            "mix": _used_mix(recipe.mix),
            "regularisation": regularisation.model_copy(update=plain),
            "distil": _used_distil(recipe.distil),
            "freeze": recipe.freeze if recipe.freeze.patterns else Freeze(),
            "averaging": recipe.averaging if recipe.averaging.name != "none" else Averaging(),
        }
    )


def _used_distil(distil: Distil | None) -> Distil | None:
    if distil is None or distil.form == "soft":
        return distil
    return distil.model_copy(update={"temperature": default(Distil, "temperature")})


def _used_schedule(schedule: Any) -> Any:
    """Without the details of a warm-up that has no length."""
    warmup: Warmup | None = getattr(schedule, "warmup", None)
    if warmup is None or warmup.steps or warmup.epochs or warmup.ratio:
        return schedule
    return schedule.model_copy(update={"warmup": Warmup()})


def _used_augment(augment: Augment) -> Augment:
    changes: dict[str, Any] = {}
    if augment.erasing is not None and augment.erasing.probability == 0:
        changes["erasing"] = None
    jitter = augment.color_jitter
    if jitter is not None and not (jitter.brightness or jitter.contrast or jitter.saturation or jitter.hue):
        changes["color_jitter"] = None
    return augment.model_copy(update=changes)


def _used_mix(mix: Mix) -> Mix:
    if not mix.active:
        return Mix()
    if mix.mixup_alpha == 0 or mix.cutmix_alpha == 0:
        return mix.model_copy(update={"switch_probability": default(Mix, "switch_probability")})
    return mix


def default(kind: type[Value], key: str) -> Any:
    """The default of a key."""
    return kind.model_fields[key].get_default(call_default_factory=True)
