"""What a run says of itself while it trains: metrics.jsonl always, TensorBoard where asked for, a line of progress."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from levelfield.evaluation import Scores
from levelfield.progress import Progress
from levelfield.training.not_finite import check_loss
from levelfield.training.training_state import TrainState
from levelfield.units import plain


class MetricsFile:
    """metrics.jsonl: one JSON object a line, in the order of the steps.

    A run that goes on from `step` cuts off what it had written after that step before it was killed or fell back to an
    older checkpoint. `lines` tells how many there are, so that a checkpoint can say how many there should be.
    """

    def __init__(self, path: Path, step: int) -> None:
        self._file = path.open("a+b")
        self.lines = 0
        self._file.seek(0)
        end = 0
        for line in self._file:
            if not line.endswith(b"\n") or not _written_by(line, step):
                break
            self.lines += 1
            end += len(line)
        self._file.truncate(end)

    def sync(self) -> None:
        """Wait until all lines are on the disk: a checkpoint must not outlive the history before it."""
        os.fsync(self._file.fileno())

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        plain = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}
        self._file.write(json.dumps({"step": step, **plain}).encode() + b"\n")
        self._file.flush()
        self.lines += 1

    def close(self) -> None:
        self._file.close()


def _written_by(line: bytes, step: int) -> bool:
    """Whether a line of metrics is whole and of `step` or before."""
    try:
        return int(json.loads(line)["step"]) <= step
    except (ValueError, KeyError, TypeError):
        return False


class TensorBoard:
    """Scalars for TensorBoard, in the run folder's `tensorboard/`."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=step + 1)  # what `step` itself logged came before its save

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            if isinstance(value, (int, float)) and key != "epoch":
                self._writer.add_scalar(f"{values.get('kind', 'run')}/{key}", value, step)

    def close(self) -> None:
        self._writer.close()


class Journal:
    """A run's metrics.jsonl, its TensorBoard files and its line of progress; a context manager. Only rank 0 writes.

    Made once the run's state is restored. `lines`: how many lines of metrics.jsonl there were when that was saved.
    """

    def __init__(self, folder: Path, name: str, state: TrainState, progress: Progress, lines: int) -> None:
        self.folder, self.name, self.state, self.plan = folder, name, state, state.plan
        self.progress, self._lines_before = progress, lines
        self._metrics: MetricsFile | None = None
        self._loggers: list[MetricsFile | TensorBoard] = []
        self._timed = (state.clock.train_images, state.clock.train_seconds)

    def __enter__(self) -> Self:
        step = self.state.step
        self.progress.start(self.plan.steps, self.name, done=step)
        if not self.state.world.main:
            return self
        self._metrics = MetricsFile(self.folder / "metrics.jsonl", step)
        if (lost := self._lines_before - self._metrics.lines) > 0:
            self.progress.note(f"metrics.jsonl lacks {lost} of its lines before step {step}")
        self._loggers.append(self._metrics)
        if "tensorboard" in self.state.execution.loggers:
            try:
                self._loggers.append(TensorBoard(self.folder / "tensorboard", step))
            except ImportError:
                self.progress.note("tensorboard is not installed: its files are not written, metrics.jsonl has it all")
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        for logger in self._loggers:
            logger.close()
        if kind is None:
            self.progress.finish()

    def sync(self) -> int:
        """Wait until metrics.jsonl is on the disk; how many lines it has. On rank 0, whose journal is entered."""
        assert self._metrics is not None
        self._metrics.sync()
        return self._metrics.lines

    def after_step(self) -> None:
        """A step further; what is due by the number of steps."""
        self.progress.advance(1)
        if self.state.step % self.state.execution.log_every_steps == 0:
            self.log_interval()

    def log_interval(self) -> None:
        """The line of the steps since the last one. Raises NonFiniteLossError for a loss that is no number."""
        state = self.state
        state.clock.pause()
        loss, top1, seen = state.interval.read(state.world)
        if seen == 0:
            return
        check_loss(loss, state)
        images, seconds = state.clock.train_images - self._timed[0], state.clock.train_seconds - self._timed[1]
        self._timed = (state.clock.train_images, state.clock.train_seconds)
        rate = images / seconds if images else None  # an interval of nothing but warm-up has none
        line: dict[str, Any] = {"kind": "train", "epoch": state.step / self.plan.steps_per_epoch, "train_loss": loss}
        line |= {"train_top1": top1, "lr": state.lr, "images_per_s": None if rate is None else round(rate, 1)}
        if state.recipe.precision == "fp16":
            line["loss_scale"] = state.scaler.get_scale()
        self._log(line)
        shown = {"loss": f"{loss:.3f}", "top-1": f"{top1:.1f}", "lr": plain(state.lr, 2)}
        shown |= {} if rate is None else {"images/s": f"{rate:.0f}"}
        epoch = math.ceil(state.step / self.plan.steps_per_epoch)  # that of the last step; the next has not begun
        self.progress.advance(0, epoch=f"{epoch}/{self.plan.epochs}", **shown)
        state.epoch_meter.take(state.interval)

    def log_epoch(self, epoch: int, validation: Scores | None) -> None:
        """The line of the finished epoch `epoch` (from 0), with its validation where there is a slice."""
        state = self.state
        loss, top1, seen = state.epoch_meter.read(state.world)
        state.epoch_meter.reset()
        line: dict[str, Any] = {"kind": "epoch", "epoch": epoch + 1, "train_loss": loss, "train_top1": top1}
        line |= {"samples": seen, "lr": state.lr, "train_seconds": round(state.clock.train_seconds, 3)}
        if state.clock.train_joules is not None:
            line["train_joules"] = round(state.clock.train_joules, 3)
        shown = {"epoch": f"{epoch + 1}/{self.plan.epochs}", "loss": f"{loss:.3f}", "top-1": f"{top1:.1f}"}
        if validation is not None:
            line |= {"val_loss": validation.loss, "val_top1": validation.top1}
            shown["val"] = f"{validation.top1:.1f}"
        self._log(line)
        self.progress.advance(0, **shown)

    def _log(self, line: Mapping[str, Any]) -> None:
        for logger in self._loggers:
            logger.log(self.state.step, line)
