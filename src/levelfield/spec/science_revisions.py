"""What was mended since SCIENCE_VERSION was last raised, and which runs that makes other runs.

A mend that moves the numbers of some runs only (those that use one feature) is listed here under a name, with the test
of whether a run is among them. The names are part of those runs' identities, so that their old results are not taken
for new ones, while all other runs keep theirs. A mend that moves every run's numbers raises SCIENCE_VERSION instead,
and empties this table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from levelfield.spec.augment import RandomResizedCrop
from levelfield.spec.run_parts import RunValues
from levelfield.spec.schedule import MultiStep, OneCycle, Schedule, Step
from levelfield.spec.used_keys import used


def _warms_up(schedule: Schedule) -> bool:
    if isinstance(schedule, OneCycle):
        return False
    return any(length for length in (schedule.warmup.steps, schedule.warmup.epochs, schedule.warmup.ratio))


def _drops_after_warmup(spec: RunValues) -> bool:
    schedules = [spec.recipe.schedule, *(phase.schedule for phase in spec.recipe.phases)]
    return any(isinstance(s, Step | MultiStep) and _warms_up(s) and not s.warmup.on_top for s in schedules)


def _later_warmup_on_top(spec: RunValues) -> bool:
    later = [phase.schedule for phase in spec.recipe.phases]
    return any(not isinstance(s, OneCycle) and _warms_up(s) and s.warmup.on_top for s in later)


def _draws_shares_from_a_curved_beta(spec: RunValues) -> bool:
    mix = spec.recipe.mix
    return mix.active and any(alpha not in (0, 1) for alpha in (mix.mixup_alpha, mix.cutmix_alpha))


_NARROWER_STREAMS: Final = ("convnext_nano", "convnext_simple", "roadmap", "vit_mini")
"""How the networks' names begin that have a layer scale or a position table of float32 in their residual stream."""


def _streams_in_bf16(spec: RunValues) -> bool:
    return spec.recipe.precision in ("bf16", "bf16_if_native") and spec.model.name.startswith(_NARROWER_STREAMS)


REVISIONS: Final[dict[str, Callable[[RunValues], bool]]] = {
    # The short last batch of an epoch was cut into full parts and a rest, differently for each number of processes.
    "equal-parts-of-split-batches": lambda spec: (
        spec.execution.micro_batch is not None and spec.execution.micro_batch < spec.recipe.batch_size
    ),
    # Milestones and steps were counted from the end of the warm-up: 30 with 5 epochs of warm-up dropped at 35.
    "drops-at-epochs-of-the-phase": _drops_after_warmup,
    # A later phase's warm-up on top was taken from its stated length instead of added to it.
    "warmup-on-top-in-later-phases": _later_warmup_on_top,
    # Positions count in 2**-20 px and every product is rounded by itself, so that all processors augment alike; timm's
    # bicubic maps have Pillow's kernel. Few pixels differ, by a level or where a map puts them between two pixels.
    "augmentation-equal-on-all-processors": lambda spec: (
        spec.recipe.augment.policy is not None or spec.recipe.augment.color_jitter is not None
    ),
    # Shares of Beta(a, a), a not 1, are multiples of 2**-16: they move by less than 1e-5.
    "mixing-equal-on-all-processors": _draws_shares_from_a_curved_beta,
    # Only norms whose own parameters are frozen leave training (once a frozen position table switched off all dropout),
    # and thawed modules train from the first step of their epoch on, in a resumed run too.
    "freeze-modes": lambda spec: bool(spec.recipe.freeze.patterns),
    # Random resized crops were taken from thumbnails that data.fit had made square; now from whole images, by Pillow's
    # weights in whole numbers.
    "resized-crops-of-whole-images": lambda spec: isinstance(spec.recipe.augment.crop, RandomResizedCrop),
    # Which strides a timm model loses at another image size was decided by its modules' names: RegNet, DLA and ReXNet
    # lost those of their first stage, EfficientNet kept them. (At its own size nothing is fitted and nothing moves.)
    "timm-stems-by-what-they-do": lambda spec: (
        spec.model.name.startswith("timm:") and spec.model.options.get("adapt", "auto") == "auto"
    ),
    # Layer scale and position tables no longer make the residual stream float32. (That fused forms round once where
    # every operator rounded is within what processors differ in, and makes no other run.)
    "bf16-residual-streams": _streams_in_bf16,
    # The gradients of pruned weights had a part in clipping, and in the steps of optimisers that take matrices whole.
    "no-gradients-of-pruned-weights": lambda spec: spec.recipe.prune is not None,
}
"""Name of the mend -> whether it moves the numbers of a run. Never renamed, never removed before the next version."""


def revisions(spec: RunValues) -> list[str]:
    """Names of the mends that bear on what of `spec` is used, sorted."""
    spec = used(spec)
    return sorted(name for name, bears_on in REVISIONS.items() if bears_on(spec))
