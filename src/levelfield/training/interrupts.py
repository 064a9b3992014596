"""Asking a run to stop at its next step: Ctrl-C, SIGTERM, or a time limit. A second Ctrl-C stops at once."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Self

import torch

from levelfield.training.processes import World


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
                if signal.getsignal(number) is not signal.SIG_IGN:  # else a job in the background, not meant by it
                    self._old[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._old.items():
            if handler is not None:  # set by other than Python, which cannot set it again
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


class Interrupted(KeyboardInterrupt):
    """Training stopped on request after writing a checkpoint; the same call goes on from there."""


class StoppedAtEpoch(Interrupted):
    """It stopped where `execution.stop_after_epochs` says: nobody asked for more than that."""


class AskedTogether:
    """What every rank asks itself after a step (stop? save?), answered alike on all of them.

    Several processes ask one another about twice a second, as it makes them wait for one another: a run that is asked
    to stop has half a minute under torchrun, however long its steps are.
    """

    def __init__(self, world: World, device: torch.device, step: int) -> None:
        self.world, self.device = world, device
        self._asked, self._ask_at = (step, time.monotonic()), step + 1

    def any(self, step: int, *flags: bool) -> list[bool]:
        """Of each flag whether any rank raises it; none of them at a step at which nobody is asked."""
        if self.world.size == 1:
            return list(flags)
        if step < self._ask_at:
            return [False] * len(flags)
        now = time.monotonic()
        own = [*map(float, flags), (now - self._asked[1]) / max(1, step - self._asked[0])]
        *raised, seconds = self.world.sum(torch.tensor(own, device=self.device)).tolist()
        seconds_per_step = max(seconds / self.world.size, 1e-6)
        self._asked, self._ask_at = (step, now), step + min(50, max(1, int(0.5 / seconds_per_step)))
        return [number > 0 for number in raised]
