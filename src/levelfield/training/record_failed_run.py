"""What ended an attempt at a run: who says it, and what the run's folder keeps of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from levelfield.errors import UserError
from levelfield.models.users_code import failed_in_plugin
from levelfield.runs import FAILURES, RunFolder, write_json
from levelfield.spec import RunSpec
from levelfield.system.memory import memory_exhausted
from levelfield.training.not_finite import NonFiniteLossError
from levelfield.training.prepare_run import Prepared
from levelfield.training.processes import SaidElsewhereError, World

_MEASURED = (
    *("top1", "top3", "top5", "loss", "f1_macro", "f1_weighted", "ece", "brier"),
    *("params", "trainable_params", "param_mib", "macs", "flops"),
    *("train_seconds", "compile_seconds", "train_images_per_s", "train_joules", "eval_seconds"),
    *("epochs_done", "samples_seen"),
)
"""Keys of result.json that hold a measurement, null in a failed run."""


def ended_by(error: Exception, prepared: Prepared, folder: RunFolder, world: World) -> Exception:
    """What to raise for `error`, which ended an attempt. Failures of the training itself are recorded."""
    if isinstance(error, NonFiniteLossError):  # all ranks find it together
        record_failure(folder, prepared.spec, str(error), world)
        kept = "; the last good checkpoint is kept" if any(folder.checkpoints.glob("step-*.ckpt")) else ""
        return NonFiniteLossError(f"{error}{kept}") if world.main else SaidElsewhereError(str(error))
    if memory_exhausted(error):
        spec = prepared.spec
        or_else = "" if spec.execution.gradient_checkpointing else ", or set execution.gradient_checkpointing=true"
        reason = (
            f"out of memory on {prepared.device}\n"
            f"lower execution.micro_batch (now {spec.execution.micro_batch or spec.recipe.batch_size}), "
            f"data.image_size or execution.eval_batch_size{or_else}"
        )
        world.tell_failure(reason)
        record_failure(folder, spec, reason, world)
        return UserError(reason)
    if isinstance(error, UserError):
        if not isinstance(error, SaidElsewhereError):
            world.tell_failure(str(error))
        return error
    if world.lost_others(error):
        told = world.told_failure()
        if told is not None:
            record_failure(folder, prepared.spec, told, world)
            return world.refuse(told)
        return UserError(
            f"process {world.rank} lost the others: {str(error).splitlines()[0]}\n"
            "see what they said last; the same command goes on from the newest checkpoint"
        )
    if (told_of_plugin := failed_in_plugin(error, f"when {prepared.spec.model.name} was trained")) is not None:
        world.tell_failure(str(told_of_plugin))
        record_failure(folder, prepared.spec, str(told_of_plugin), world)
        return told_of_plugin
    world.tell_failure(f"{type(error).__name__}: {error}")
    return error


def record_failure(folder: RunFolder, spec: RunSpec, reason: str, world: World) -> None:
    """Record in result.json why the run failed; the same command tries again from its last checkpoint.

    The reason is kept in failures.json too: a run that fails, goes on and finishes is not one that never failed. A
    result that is there already stands: what failed then came after it. Where nothing can be written, nothing is: the
    reason itself matters more.
    """
    if not world.main:
        return
    with suppress(UserError):
        if folder.finished:
            return
        write_json(folder.path / FAILURES, [*folder.failures(), reason.splitlines()[0]])
        described: dict[str, Any] = {"model": spec.model.name, "data": spec.data.name, "recipe": spec.recipe.name}
        described |= {"seed": spec.seed, **dict.fromkeys(_MEASURED), "resumed_from": [], "classes": []}
        described |= {"status": "failed: " + reason.splitlines()[0], "identity": spec.identity()}
        write_json(folder.path / "result.json", described)
