"""One run: its folder locked, its parts put together, trained to the end, its result written or its failure told."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from levelfield.native.libraries import build_where_missing
from levelfield.progress import Progress
from levelfield.runs import FolderLock, RunFolder
from levelfield.training.batch_inputs import TrainingInputs, run_loader
from levelfield.training.batchnorm_smallest_batch import check_smallest_batch
from levelfield.training.device import configure_torch
from levelfield.training.interrupts import AskedTogether, Interrupted, StoppedAtEpoch, StopRequest
from levelfield.training.metrics_journal import Journal
from levelfield.training.micro_batches import check_parts
from levelfield.training.not_finite import infinite_buffers
from levelfield.training.open_run_folder import open_run_folder
from levelfield.training.prepare_run import Prepared
from levelfield.training.process_agreement import check_same_run
from levelfield.training.processes import World, join_world
from levelfield.training.record_failed_run import ended_by
from levelfield.training.result_in_html import result_in_html
from levelfield.training.save_and_resume import SavedState
from levelfield.training.steps_and_phases import make_plan
from levelfield.training.training_loop import train_steps
from levelfield.training.training_state import TrainState
from levelfield.training.validation_and_test import RunEvaluator
from levelfield.training.write_result import write_result


@dataclass(frozen=True)
class RunResult:
    """A finished run: the content of result.json, the history (lines of metrics.jsonl) and its folder."""

    result: dict[str, Any]
    history: list[dict[str, Any]]
    folder: RunFolder

    def _repr_html_(self) -> str:
        """What the run is, its scores and what it took, for a notebook."""
        return result_in_html(self.result, self.folder)


def train_prepared(prepared: Prepared, out: Path, *, progress: Progress | None = None) -> RunResult:
    """Train a prepared run into `out`. A finished run is returned as it is, a half-finished one goes on.

    Of several processes only rank 0 reads and writes `out`; the others may hold checkpoints in theirs.

    Raises UserError where the folder holds another run or is being written, where the processes would not train the
    same run, for a loss or weights that are no numbers and for exhausted memory on any process (recorded in
    result.json); Interrupted after a stop on request, the checkpoint or the result written.
    """
    folder = RunFolder(out)
    execution = prepared.spec.execution
    configure_torch(execution, prepared.device, prepared.spec.recipe.tf32)
    if prepared.device.type == "cpu":  # whatever the network: augmentation has such loops, too
        build_where_missing()  # before a step is taken, so that all of a run is computed by the same loops
    with ExitStack() as stack:
        world = stack.enter_context(join_world(prepared.device))
        check_same_run(prepared.spec, world)
        finished = world.from_main(lambda: open_run_folder(stack.enter_context(FolderLock(out)), prepared, world))
        if finished is not None:
            return RunResult(finished, world.from_main(folder.metrics), folder)
        stop = stack.enter_context(StopRequest(execution.stop_after_seconds))
        shown = progress if progress is not None and world.main else Progress(shown=False)
        try:
            result = Attempt(prepared, folder, world, stop, shown).complete()
        except Exception as error:
            ending = ended_by(error, prepared, folder, world)
            if ending is error:
                raise
            raise ending from error
        if stop.signalled:  # too late to stop the run, but whoever asked wants what comes next to stop
            raise Interrupted(f"{stop.reason}: the run had just finished, its result is written")
        return RunResult(result, world.from_main(folder.metrics), folder)


class Attempt:
    """One attempt at completing a run, on one rank: its parts, each the owner of what it does, put together."""

    def __init__(
        self, prepared: Prepared, folder: RunFolder, world: World, stop: StopRequest, progress: Progress
    ) -> None:
        spec, data, device = prepared.spec, prepared.data, prepared.device
        recipe, execution, size = spec.recipe, spec.execution, spec.model.image_size
        assert size is not None
        plan = make_plan(recipe, spec.budget, len(data.train))
        check_parts(len(data.train), recipe.batch_size, execution.micro_batch, world.size)
        loader = run_loader(spec, data.train, recipe.batch_size, device, world, shuffle=True)
        if not progress.nested or loader.kind == "streamed":
            progress.note(f"training images {loader.why}")
        if device.type == "mps":
            progress.note("on MPS: float32; the CPU makes the batches, counts, and computes what MPS lacks")
        with nullcontext() if world.main else redirect_stderr(StringIO()):  # rank 0 tells of the weights it starts from
            model = prepared.build_model()
        infinite = infinite_buffers(model)
        if (teacher := prepared.load_teacher()) is not None and recipe.distil is not None:
            progress.note(f"taught by {recipe.distil.teacher} ({recipe.distil.form})")
        state = TrainState(model, recipe, plan, execution, device, world, teacher)
        if state.pruning is not None:
            progress.note(str(state.pruning))
        check_smallest_batch(state, len(data.train), size)
        if state.average is not None:
            world.take_from_main(state.average.module.state_dict().values())
        self.folder, self.stop, self.state = folder, stop, state
        self.inputs = TrainingInputs(loader, recipe, data, size, spec.seed, execution.channels_last)
        self.saved = SavedState(folder, prepared.identity, state, infinite)
        self.saved.resume(progress.note)
        name = f"{spec.model.name} seed {spec.seed}"
        self.journal = Journal(folder.path, name, state, progress, self.saved.lines)
        self.evaluator = RunEvaluator(prepared, state)
        self.together = AskedTogether(world, device, state.step)

    def complete(self) -> dict[str, Any]:
        """Train to the end of the plan, evaluate, write everything; return the result."""
        state = self.state
        with self.journal:
            if not train_steps(state, self.inputs, after_step=self.after_step, after_epoch=self.after_epoch):
                where = f"stopped at step {state.step} of {state.plan.steps}"
                if self._at_last_epoch() and self.stop.reason is None:
                    raise StoppedAtEpoch(f"epoch {state.execution.stop_after_epochs} has ended: {where}")
                raise Interrupted(f"{self.stop.reason}: {where}")
            return write_result(self.evaluator, self.folder, self.inputs.loader.why, self.saved.resumed_from)

    def after_step(self, state: TrainState) -> bool:
        """Logs and checkpoints that are due; True if the run should stop now."""
        self.journal.after_step()
        stop, late = self.together.any(state.step, self.stop.requested(), self.saved.late())
        stop = (stop or self._at_last_epoch()) and state.step < state.plan.steps
        if stop or late or self.saved.due():
            self.saved.save(self.journal)
        return stop

    def _at_last_epoch(self) -> bool:
        """Whether the epoch after which to stop has just ended."""
        last = self.state.execution.stop_after_epochs
        return last is not None and self.state.step == last * self.state.plan.steps_per_epoch

    def after_epoch(self, state: TrainState, epoch: int) -> None:
        """The epoch's validation, where there is a slice, and its line of metrics."""
        self.journal.log_interval()
        self.journal.log_epoch(epoch, self.evaluator.after_epoch(epoch))
