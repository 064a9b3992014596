"""What of a run's values its identity is made of: those that are used and that differ from their defaults.

A key that is left at its default is not hashed, so a key that is added later leaves every identity as it was; what the
defaults of a SCIENCE_VERSION are is on record in tests/spec/defaults.json, since to change one would make two different
sciences one. A key that is not used where it stands (the decay of an average that is not kept) counts as its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from levelfield.spec.recipe import Augment, Averaging, Freeze, Mix, Phase, Recipe, Regularisation, Warmup
from levelfield.spec.values import Value

if TYPE_CHECKING:
    from levelfield.spec.run import DataSpec, RunSpec


def differing(value: Any) -> Any:
    """`value` as plain JSON, without the keys of values that equal their defaults.

    A key that every member of a union has with a value of its own (`name: cosine`) stays: it tells the kinds apart.
    """
    if isinstance(value, Value):
        kept = {}
        for key, field in type(value).model_fields.items():
            item = getattr(value, key)
            if field.is_required() or is_tag(field) or item != field.get_default(call_default_factory=True):
                kept[key] = differing(item)
        return kept
    if isinstance(value, Mapping):
        return {key: differing(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [differing(item) for item in value]
    return value


def is_tag(field: FieldInfo) -> bool:
    """Whether a key can have one value only, so that it says of which kind its value is."""
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


def used(spec: RunSpec) -> RunSpec:
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
            "phases": tuple(_used_phase(phase) for phase in recipe.phases),
            "augment": _used_augment(recipe.augment),
            "mix": _used_mix(recipe.mix),
            "regularisation": regularisation.model_copy(update=plain),
            "freeze": recipe.freeze if recipe.freeze.patterns else Freeze(),
            "averaging": recipe.averaging if recipe.averaging.name != "none" else Averaging(),
        }
    )


def _used_phase(phase: Phase) -> Phase:
    return phase.model_copy(update={"schedule": _used_schedule(phase.schedule)})


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
