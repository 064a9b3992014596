"""One run: lock and identity, restore or initialise, train, evaluate, write the result."""

from __future__ import annotations

import json
import math
import time
from contextlib import ExitStack, nullcontext, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final

import torch

from levelfield.data import Loader, Split, make_loader
from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import FolderLock, RunFolder, remove_leftovers, write_json
from levelfield.spec import RunSpec
from levelfield.spec.revisions import revisions
from levelfield.training.batch_inputs import TrainingInputs, evaluation_transform
from levelfield.training.batchnorm_smallest_batch import check_smallest_batch
from levelfield.training.checkpoint import first_not_finite, save_checkpoint
from levelfield.training.device import configure_torch
from levelfield.training.environment import describe_environment, with_earlier
from levelfield.training.evaluate_model import Evaluation, evaluate_model
from levelfield.training.interrupts import StopRequest
from levelfield.training.journal import Journal, Logger, MetricsFile, TensorBoard
from levelfield.training.loop import train_steps
from levelfield.training.micro_batches import check_parts
from levelfield.training.prepare_run import Prepared
from levelfield.training.process_agreement import agree_on_checkpoint, check_same_run, check_same_weights, dotted
from levelfield.training.processes import World, join_world
from levelfield.training.record_failed_run import NonFiniteLossError, ended_by
from levelfield.training.state import TrainState
from levelfield.training.timetable import RunPlan, make_plan
from levelfield.training.write_result import write_result

_NAMED: Final = 5
"""Keys named of those in which two configurations differ."""


@dataclass(frozen=True)
class RunResult:
    """A finished run: the content of result.json, the history (lines of metrics.jsonl) and its folder."""

    result: dict[str, Any]
    history: list[dict[str, Any]]
    folder: RunFolder


class Interrupted(KeyboardInterrupt):
    """Training stopped on request after writing a checkpoint; the same call goes on from there."""


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
    with ExitStack() as stack:
        world = stack.enter_context(join_world(prepared.device))
        check_same_run(prepared.spec, world)
        finished = world.from_main(lambda: _open_folder(stack.enter_context(FolderLock(out)), prepared, world))
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


def _open_folder(lock: FolderLock, prepared: Prepared, world: World) -> dict[str, Any] | None:
    """Check that the locked folder is this run's, describe it there; the result if it has finished already."""
    folder, identity = RunFolder(lock.folder), prepared.identity
    if folder.exists():
        if folder.identity != identity:
            raise UserError(
                f"{folder.path} holds another run (identity {folder.identity[:12]}, this one is {identity[:12]}): "
                f"{_what_differs(folder, prepared.spec)}\nchoose another --out, or remove that folder"
            )
        if folder.finished:
            return folder.result()
    remove_leftovers(folder.checkpoints)
    (folder.path / "result.json").unlink(missing_ok=True)  # an earlier failure; failures.json keeps it
    description = {
        "identity": identity,
        "revisions": revisions(prepared.spec),
        "reproducible": "by name" if prepared.reproducible else "not reproducible by name",
        "data": {"official": prepared.data.official, "notes": list(prepared.data.notes), "own": prepared.own_data},
        "classes": list(prepared.data.classes),
        "mean": list(prepared.data.mean),
        "std": list(prepared.data.std),
        "run": prepared.spec.model_dump(mode="json"),
    }
    write_json(folder.path / "run.json", description)
    environment = {**describe_environment(prepared.device), "processes": world.size}
    environment |= {"data_checksum": prepared.data.checksum}
    write_json(folder.path / "environment.json", with_earlier(environment, folder.environment()))
    return None


def _what_differs(folder: RunFolder, spec: RunSpec) -> str:
    """The keys in which `spec` is not the run in `folder`, up to five."""
    try:
        there, here = dotted(folder.spec().science()), dotted(spec.science())
    except UserError:
        return "its configuration is one of another version"
    keys = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
    if not keys:
        return "its configuration is the same, but another version made it"
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return f"its configuration differs in {', '.join(keys[:_NAMED])}{more}"


class Attempt:
    """One attempt at completing a run, on one rank."""

    def __init__(
        self, prepared: Prepared, folder: RunFolder, world: World, stop: StopRequest, progress: Progress
    ) -> None:
        self.prepared, self.folder, self.world, self.stop, self.progress = prepared, folder, world, stop, progress
        self.spec, self.data, self.device = prepared.spec, prepared.data, prepared.device
        self.execution, self.recipe = prepared.spec.execution, prepared.spec.recipe
        self.plan: RunPlan = make_plan(self.recipe, self.spec.budget, len(self.data.train))
        check_parts(len(self.data.train), self.recipe.batch_size, self.execution.micro_batch, world.size)
        assert self.spec.model.image_size is not None
        self.image_size = self.spec.model.image_size
        self.transform = evaluation_transform(self.recipe, self.data, self.image_size, self.execution.channels_last)
        loader = self.loader(self.data.train, self.recipe.batch_size, shuffle=True)
        self.inputs = TrainingInputs(
            loader, self.recipe, self.data, self.image_size, self.spec.seed, self.execution.channels_last
        )
        if not progress.nested or loader.kind == "streamed":
            progress.note(f"training images {loader.why}")
        with nullcontext() if world.main else redirect_stderr(StringIO()):  # rank 0 tells of the weights it starts from
            model = prepared.build_model()
        self.infinite = _infinite_buffers(model)
        self.state = TrainState(model, self.recipe, self.plan, self.execution, self.device, world)
        check_smallest_batch(self.state, len(self.data.train), self.execution.micro_batch, self.image_size)
        if self.state.average is not None:
            world.broadcast_state(self.state.average.module)
        self.resumed_from = self._restore()
        self.saved_step, self.saved_at = self.state.step, time.monotonic()
        self.asked, self.ask_at = (self.state.step, self.saved_at), self.state.step + 1
        self.timing = (self.state.clock.train_images, self.state.clock.train_seconds)

    def loader(self, split: Split, batch_size: int, *, shuffle: bool = False) -> Loader:
        return make_loader(
            split,
            batch_size=batch_size,
            seed=self.spec.seed,
            shuffle=shuffle,
            device=self.device,
            kind=self.execution.loader,
            workers=self.execution.workers,
            resident_budget_mib=self.execution.resident_budget_mib,
            rank=self.world.rank,
            world=self.world.size,
        )

    def complete(self) -> dict[str, Any]:
        """Train to the end of the plan, evaluate, write everything; return the result."""
        state, plan = self.state, self.plan
        self.progress.start(plan.steps, f"{self.spec.model.name} seed {self.spec.seed}", done=state.step)
        with self.open_journal() as self.journal:
            done = train_steps(
                state,
                self.inputs,
                micro_batch=self.execution.micro_batch,
                after_step=self.after_step,
                after_epoch=self.after_epoch,
            )
            if not done:
                raise Interrupted(f"{self.stop.reason}: stopped at step {state.step} of {plan.steps}")
            result = write_result(self, self.resumed_from)
        self.progress.finish()
        return result

    def after_step(self, state: TrainState) -> bool:
        """Logs and checkpoints that are due; True if the run should stop now."""
        execution, at_end = self.execution, state.step == self.plan.steps
        self.progress.advance(1)
        if state.step % execution.log_every_steps == 0:
            self._log_interval()
        every = execution.checkpoint_every_steps
        due = at_end or (every is not None and state.step % every == 0)
        stopping, late = self._agreed(state.step)
        stopping = stopping and not at_end
        if due or stopping or late:
            self.save()
        return stopping

    def _agreed(self, step: int) -> tuple[bool, bool]:
        """Whether to stop, and whether a checkpoint is due by the clock: the same on every rank.

        Several processes ask one another about twice a second, as it makes them wait for one another: a run that is
        asked to stop has half a minute under torchrun, however long its steps are.
        """
        now = time.monotonic()
        stop, late = self.stop.requested(), now - self.saved_at > self.execution.checkpoint_every_seconds
        if self.world.size == 1:
            return stop, late
        if step < self.ask_at:
            return False, False
        own = [float(stop), float(late), (now - self.asked[1]) / max(1, step - self.asked[0])]
        stops, lates, seconds = self.world.sum(torch.tensor(own, device=self.device)).tolist()
        self.asked, self.ask_at = (step, now), step + steps_until_asked(seconds / self.world.size)
        return stops > 0, lates > 0

    def after_epoch(self, state: TrainState, epoch: int) -> None:
        """The epoch's line of metrics, with validation where there is a slice; keeps the best weights if they count."""
        self._log_interval()
        loss, top1, seen = state.epoch_meter.read(self.world)
        state.epoch_meter.reset()
        line: dict[str, Any] = {"kind": "epoch", "epoch": epoch + 1, "train_loss": loss, "train_top1": top1}
        line |= {"samples": seen, "lr": state.lr, "train_seconds": round(state.clock.train_seconds, 3)}
        if self.data.validation is not None:
            scores = self.evaluate(state.weights_to_evaluate(), self.data.validation).scores
            line |= {"val_loss": scores.loss, "val_top1": scores.top1}
            if self.recipe.selection == "best_validation" and (
                state.best is None or scores.top1 > float(state.best["top1"])
            ):
                weights = {key: value.cpu().clone() for key, value in state.weights_to_evaluate().state_dict().items()}
                state.best = {"top1": scores.top1, "epoch": epoch + 1, "weights": weights}
        self.journal.log(state.step, line)
        shown = {"epoch": f"{epoch + 1}/{self.plan.epochs}", "loss": f"{loss:.3f}", "top-1": f"{top1:.1f}"}
        if "val_top1" in line:
            shown["val"] = f"{line['val_top1']:.1f}"
        self.progress.advance(0, **shown)

    def evaluate(self, model: torch.nn.Module, split: Split, *, keep_predictions: bool = False) -> Evaluation:
        self.world.broadcast_buffers(model)
        loader = self.loader(split, self.execution.eval_batch_size)
        return evaluate_model(
            model,
            loader,
            self.transform,
            self.data,
            self.state.dtype,
            self.device,
            self.world,
            keep_predictions=keep_predictions,
        )

    def save(self) -> None:
        """Write a checkpoint, unless the newest is of this very step. What is no number is never saved."""
        state = self.state
        state.clock.pause()
        self._check_finite(state.interval.read(self.world)[0])
        if state.step == self.saved_step:
            return
        content = state.state_dict()
        name = first_not_finite(content, self.infinite)
        if self.world.any(name is not None, self.device):
            raise self.not_finite(f"a weight ({name or 'on another process'})")
        if self.world.main:
            self.metrics.sync()
            content |= {"identity": self.prepared.identity, "metrics_lines": self.metrics.lines}
            save_checkpoint(self.folder.checkpoints, state.step, content, self.execution.keep_checkpoints)
        self.saved_step, self.saved_at = state.step, time.monotonic()

    def _restore(self) -> list[int]:
        """Go on from the newest good checkpoint; the steps at which this and earlier later starts went on."""
        folder, identity = self.folder.checkpoints, self.prepared.identity
        content, notes = agree_on_checkpoint(folder, identity, self.infinite, self.world)
        for note in notes:
            self.progress.note(note)
        self.metrics_lines = 0
        if content is not None:
            self.state.load_state_dict(content)
            self.metrics_lines = int(content.get("metrics_lines", 0))
        check_same_weights(self.state, self.world)
        starts = self.world.from_main(self._note_start)
        if len(starts) > 1:
            self.progress.note(f"going on from step {self.state.step} of {self.plan.steps}")
        return starts[1:]

    def _note_start(self) -> list[int]:
        path = self.folder.path / "starts.json"
        starts: list[int] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        starts.append(self.state.step)
        write_json(path, starts)
        return starts

    def open_journal(self) -> Journal:
        if not self.world.main:
            return Journal([])
        self.metrics = MetricsFile(self.folder.path / "metrics.jsonl", self.state.step)
        if (lost := self.metrics_lines - self.metrics.lines) > 0:
            self.progress.note(f"metrics.jsonl lacks {lost} of its lines before step {self.state.step}")
        loggers: list[Logger] = [self.metrics]
        if "tensorboard" in self.execution.loggers:
            try:
                loggers.append(TensorBoard(self.folder.path / "tensorboard", self.state.step))
            except ImportError:
                self.progress.note("tensorboard is not installed: its files are not written, metrics.jsonl has it all")
        return Journal(loggers)

    def _log_interval(self) -> None:
        state = self.state
        state.clock.pause()
        loss, top1, seen = state.interval.read(self.world)
        if seen == 0:
            return
        self._check_finite(loss)
        images, seconds = state.clock.train_images - self.timing[0], state.clock.train_seconds - self.timing[1]
        self.timing = (state.clock.train_images, state.clock.train_seconds)
        rate = images / seconds if images else None  # an interval of nothing but warm-up has none
        line: dict[str, Any] = {"kind": "train", "epoch": state.step / self.plan.steps_per_epoch, "train_loss": loss}
        line |= {"train_top1": top1, "lr": state.lr, "images_per_s": None if rate is None else round(rate, 1)}
        if self.recipe.precision == "fp16":
            line["loss_scale"] = state.scaler.get_scale()
        self.journal.log(state.step, line)
        shown = {"loss": f"{loss:.3f}", "top-1": f"{top1:.1f}", "lr": f"{state.lr:.2g}"}
        shown |= {} if rate is None else {"images/s": f"{rate:.0f}"}
        self.progress.advance(0, epoch=f"{state.step // self.plan.steps_per_epoch + 1}/{self.plan.epochs}", **shown)
        state.epoch_meter.take(state.interval)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise self.not_finite("the loss")

    def not_finite(self, what: str) -> NonFiniteLossError:
        """The error for `what` that is no number."""
        state = self.state
        scale = f", loss scale {state.scaler.get_scale():g}" if self.recipe.precision == "fp16" else ""
        return NonFiniteLossError(
            f"{what} is not finite at step {state.step} (learning rate {float(state.updates.latest_rate):.3g}{scale})\n"
            "the last good checkpoint is kept; lower recipe.optimizer.lr, lengthen the warm-up, set "
            "recipe.regularisation.clip_norm=1.0 or recipe.precision=fp32"
        )


def steps_until_asked(seconds_per_step: float) -> int:
    """After how many steps several processes ask one another again whether to stop."""
    return min(50, max(1, int(0.5 / max(seconds_per_step, 1e-6))))


def _infinite_buffers(model: torch.nn.Module) -> frozenset[str]:
    """Names of buffers that are infinite in a fresh network: a mask may be. Raises UserError for such parameters."""
    parameters = dict(model.named_parameters())
    names = [name for name, value in model.state_dict().items() if not bool(value.isfinite().all())]
    if odd := [name for name in names if name in parameters]:
        raise UserError(f"the network is not finite before it is trained ({odd[0]})\nstart from other weights")
    return frozenset(names)
