"""What a run says of itself while it trains: metrics.jsonl always, TensorBoard where asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self


class Logger(Protocol):
    """Takes numbers by step."""

    def log(self, step: int, values: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


class MetricsFile:
    """metrics.jsonl: one JSON object a line. `length` goes into a checkpoint, so that a resumed run cuts off what a
    killed one had written after it."""

    def __init__(self, path: Path, length: int) -> None:
        self._file = path.open("ab")
        self._file.truncate(length)

    @property
    def length(self) -> int:
        return self._file.seek(0, 2)

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        plain = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}
        self._file.write(json.dumps({"step": step, **plain}).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoard:
    """Scalars for TensorBoard, in the run folder's `tensorboard/`."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=step)

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
