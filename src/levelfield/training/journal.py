"""What a run says of itself while it trains: metrics.jsonl always, TensorBoard where asked for."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self


class Logger(Protocol):
    """Takes numbers by step."""

    def log(self, step: int, values: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


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
    """All loggers of a run as one; a context manager."""

    def __init__(self, loggers: list[Logger]) -> None:
        self._loggers = loggers

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        for logger in self._loggers:
            logger.log(step, values)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for logger in self._loggers:
            logger.close()
