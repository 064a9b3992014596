"""A run's state on disk: gone on from when a run is started again, and saved so that a stop at any moment loses little.

What is in a checkpoint is `TrainState.state_dict`; the form of its file is `checkpoint_file.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from levelfield.runs import RunFolder, write_bytes, write_json
from levelfield.training.checkpoint_file import save_checkpoint
from levelfield.training.metrics_journal import Journal
from levelfield.training.not_finite import check_loss, first_not_finite, not_finite
from levelfield.training.process_agreement import agree_on_checkpoint, check_same_weights
from levelfield.training.training_state import TrainState


class SavedState:
    """The checkpoints of a run of `identity` in its folder. Only rank 0 writes.

    `infinite`: names of buffers that may be infinite (`not_finite.infinite_buffers`). `resumed_from`: the steps at
    which this and earlier later starts went on. `lines`: how many lines of metrics.jsonl there were at the checkpoint.
    """

    def __init__(self, folder: RunFolder, identity: str, state: TrainState, infinite: frozenset[str]) -> None:
        self.folder, self.identity, self.state, self.infinite = folder, identity, state, infinite
        self.resumed_from: list[int] = []
        self.lines = 0

    def resume(self, note: Callable[[str], None]) -> None:
        """Go on from the newest good checkpoint, if there is one; `note` is told what was passed over."""
        state = self.state
        content, notes = agree_on_checkpoint(self.folder.checkpoints, self.identity, self.infinite, state.world)
        for text in notes:
            note(text)
        if content is not None:
            state.load_state_dict(content)
            self.lines = int(content.get("metrics_lines", 0))
        check_same_weights(state, state.world)
        self.resumed_from = state.world.from_main(self._note_start)[1:]
        if self.resumed_from:
            note(f"going on from step {state.step} of {state.plan.steps}")
        self._saved_step, self._saved_at = state.step, time.monotonic()

    def _note_start(self) -> list[int]:
        path = self.folder.path / "starts.json"
        starts: list[int] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        starts.append(self.state.step)
        write_json(path, starts)
        return starts

    def due(self) -> bool:
        """Whether the run's end, or the number of its steps, asks for a checkpoint: the same on every rank."""
        step, every = self.state.step, self.state.execution.checkpoint_every_steps
        return step == self.state.plan.steps or (every is not None and step % every == 0)

    def late(self) -> bool:
        """Whether this rank's clock asks for a checkpoint."""
        return time.monotonic() - self._saved_at > self.state.execution.checkpoint_every_seconds

    def save(self, journal: Journal) -> None:
        """Write a checkpoint, unless the newest is of this very step. What is no number is never saved."""
        state = self.state
        state.clock.pause()
        check_loss(state.interval.read(state.world)[0], state)
        if state.step == self._saved_step:
            return
        content = state.state_dict()
        name = first_not_finite(content, self.infinite)
        if state.world.sum(torch.tensor(int(name is not None), device=state.device)).item():
            raise not_finite(f"a weight ({name or 'on another process'})", state)
        if state.world.main:
            content |= {"identity": self.identity, "metrics_lines": journal.sync()}
            save_checkpoint(self.folder.checkpoints, state.step, content, state.execution.keep_checkpoints)
        self._saved_step, self._saved_at = state.step, time.monotonic()


def write_weights(path: Path, model: nn.Module) -> None:
    """Write the weights of a finished run."""
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    write_bytes(path, safetensors.torch.save(_unshared(weights)))


def _unshared(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """safetensors refuses tensors that share memory (tied weights): each gets memory of its own."""
    seen: set[int] = set()
    result = {}
    for key, value in weights.items():
        memory = value.untyped_storage().data_ptr()
        result[key] = value.clone() if memory in seen else value
        seen.add(memory)
    return result
