"""Asking a run to stop at its next step: Ctrl-C, SIGTERM, or a time limit. A second Ctrl-C stops at once."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self


class StopRequest:
    """While it is entered, SIGINT and SIGTERM set `reason` (and `signalled`) instead of ending the process.

    Outside the main thread signals cannot be caught; then only the time limit counts.
    """

    def __init__(self, after_seconds: float | None = None) -> None:
        self.reason: str | None = None
        self.signalled = False
        self._deadline = None if after_seconds is None else time.monotonic() + after_seconds
        self._old: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is signal.SIG_IGN:  # a job in the background, to which it is not meant
                    continue
                self._old[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._old.items():
            if handler is None:  # set by other than Python, which cannot set it again
                continue
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._old.clear()

    def requested(self) -> bool:
        """True once the run should write a checkpoint and stop."""
        if self.reason is None and self._deadline is not None and time.monotonic() > self._deadline:
            self.reason = "time limit"
        return self.reason is not None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signalled:
            raise KeyboardInterrupt
        self.reason, self.signalled = signal.Signals(number).name, True
