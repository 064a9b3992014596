"""A whole training step captured once as a CUDA graph and replayed: forward, backward, clipping, optimiser, average.

A small network leaves a GPU waiting for its host: thousands of launches a step, each of some microseconds. A replay is
one launch. What a step computes with lies at fixed places: the batch is copied to them; counts, learning rates and what
depends on an overflow are on the device (`optimizer_steps.py`), so that nothing of one step is baked into all others.
Every step trains, the first ones (which warm up) and the captured one too: no weights are spent on it. Images are
augmented ahead of it, many batches in one go (`batch_inputs.py`).

A short last batch is carried out as ever. What cannot be captured is too, after a line that says why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch

from levelfield.training.batch_inputs import Batch
from levelfield.training.optimizer_steps import steps_on_device
from levelfield.training.training_state import TrainState

Step = Callable[[TrainState, Batch], None]
Recorder = Callable[[Callable[[], None]], Callable[[], object]]
"""Captures what it is given, which computes nothing yet, and returns what replays it."""
WARM_UP: Final = 2
"""Steps of each kind that are carried out as ever first: they choose kernels and allocate what stays."""


@dataclass(frozen=True)
class _Captured:
    """A step on the places of `batch`."""

    batch: Batch
    replay: Callable[[], object]

    def __call__(self, batch: Batch) -> None:
        self.batch.x.copy_(batch.x, non_blocking=True)
        self.batch.labels.copy_(batch.labels, non_blocking=True)
        if self.batch.targets is not self.batch.labels:
            self.batch.targets.copy_(batch.targets, non_blocking=True)
        self.replay()


class GraphedStep:
    """`step` as a graph of the state that it is called with: captured anew after a hand-over, a thaw or a restart.

    Batches of plain labels and of mixed ones are two graphs. `recorder` None: CUDA's own.
    """

    def __init__(self, step: Step, recorder: Recorder | None = None) -> None:
        self._step, self._record = step, recorder or CudaRecorder()
        self._generation: int | None = None
        self._captured: dict[Any, _Captured] = {}
        self._seen: dict[Any, int] = {}
        self._why_not: str | None = None

    def __call__(self, state: TrainState, batch: Batch) -> None:
        if state.generation != self._generation:
            self._begin(state)
        kind = (batch.x.shape, batch.x.stride(), batch.targets.shape, batch.targets.dtype)
        if self._why_not is not None or batch.size != state.recipe.batch_size:
            self._eagerly(state, batch)
        elif (captured := self._captured.get(kind)) is not None:
            captured(batch)
        elif self._seen.get(kind, 0) < WARM_UP:
            self._seen[kind] = self._seen.get(kind, 0) + 1
            self._eagerly(state, batch)
        else:
            self._capture(state, batch, kind)

    def _begin(self, state: TrainState) -> None:
        """Forget the graphs of another state of affairs, whose optimiser or trained parameters were others."""
        self._generation, told = state.generation, self._why_not
        self._captured, self._seen = {}, {}
        self._why_not = why_not(state)
        if self._why_not is not None and self._why_not != told:
            _tell(self._why_not)
        for group in state.optimizer.param_groups:
            if "capturable" in group and self._why_not is None:
                group["capturable"] = True

    def _eagerly(self, state: TrainState, batch: Batch) -> None:
        state.updates.set_rates()
        self._step(state, batch)

    def _capture(self, state: TrainState, batch: Batch, kind: Any) -> None:
        x, labels = torch.empty_like(batch.x), torch.empty_like(batch.labels)
        targets = labels if batch.targets is batch.labels else torch.empty_like(batch.targets)
        places = Batch(x, labels, targets, batch.size)
        try:
            captured = _Captured(places, self._record(lambda: self._eagerly(state, places)))
        except RuntimeError as error:
            self._why_not = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            _tell(self._why_not)
            state.renew_scaler()  # it was left in the middle of a step
            self._eagerly(state, batch)
            return
        self._captured[kind] = captured
        captured(batch)


class CudaRecorder:
    """Captures on the current CUDA device; all graphs share one pool of memory, as never two are replayed at once."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, work: Callable[[], None]) -> Callable[[], object]:
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        # Other threads (one that pins batches) may go on while this one captures.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            work()
        replay: Callable[[], object] = graph.replay
        return replay


def why_not(state: TrainState) -> str | None:
    """Why a step of `state` cannot be captured; None where it can."""
    optimizer = state.optimizer
    if state.world.size > 1:
        return "several processes exchange gradients within it"
    if not steps_on_device(optimizer):
        return f"the optimiser ({type(optimizer).__name__}) keeps values of its step on the host"
    if state.scaler.is_enabled() and not getattr(optimizer, "_step_supports_amp_scaling", False):
        return f"the optimiser ({type(optimizer).__name__}) leaves it to the host to skip a step of fp16 that overflows"
    return None


def _tell(why: str) -> None:
    print(f"the step is not captured as one graph: {why}; it is carried out kernel by kernel", file=sys.stderr)
