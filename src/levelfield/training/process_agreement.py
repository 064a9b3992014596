"""What the processes of one run must have in common before they train: the run, the checkpoint, the weights.

Each resolves the run and looks for checkpoints by itself, on its own machine. Training on from what differs would mix
two runs without a word.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from levelfield.spec import RunSpec
from levelfield.training.checkpoint_file import fingerprint, load_newest
from levelfield.training.processes import World
from levelfield.training.training_state import TrainState


def check_same_run(spec: RunSpec, world: World) -> None:
    """Raise UserError on every rank where some rank would train another run, say on other data of the same name."""
    if world.size == 1:
        return
    ranks: list[Any] = world.gather((spec.identity(), socket.gethostname(), spec.science()))
    identity, host, science = ranks[0]
    for rank, (other_identity, other_host, other) in enumerate(ranks):
        if other_identity == identity:
            continue
        here, there = dotted(science), dotted(other)
        odd = sorted(key for key in here.keys() | there.keys() if here.get(key) != there.get(key))
        told = "; ".join(f"{key} is {there.get(key)!r}, not {here.get(key)!r}" for key in odd[:2]) or "another version"
        raise world.refuse(
            f"process {rank} on {other_host} has another run than process 0 on {host}: {told}\n"
            "give all processes the same configuration, data and files, and install the same levelfield"
        )


def agree_on_checkpoint(
    folder: Path, identity: str, infinite: frozenset[str], world: World
) -> tuple[dict[str, Any] | None, list[str]]:
    """`load_newest` over all ranks: where their folders hold different ones, all get the newest from its holder."""
    content, notes = load_newest(folder, identity, infinite)
    held = (-1, "") if content is None else (int(content["step"]), fingerprint(content["model"]))
    ranks: list[Any] = world.gather((held, socket.gethostname()))
    if len({one for one, _ in ranks}) == 1:
        return content, notes
    holder = max(range(world.size), key=lambda rank: (ranks[rank][0][0], -rank))
    (step, _), host = ranks[holder]
    content = world.broadcast(content if world.rank == holder else None, holder)
    steps = ("none" if step < 0 else f"step {step}" for (step, _), _ in ranks)
    told = ", ".join(f"process {rank} {has}" for rank, has in enumerate(steps))
    notes.append(
        f"the processes see different checkpoints ({told}): all go on from step {step}, that of process "
        f"{holder} on {host}"
    )
    return content, notes


def check_same_weights(state: TrainState, world: World) -> None:
    """Raise UserError on every rank where the ranks are about to train different weights."""
    if world.size == 1:
        return
    tensors = {f"model/{name}": value for name, value in state.model.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average/{name}": value for name, value in state.average.module.state_dict().items()}
    ranks = world.gather((state.step, fingerprint(tensors)))
    odd = [rank for rank, one in enumerate(ranks) if one != ranks[0]]
    if odd:
        raise world.refuse(
            f"process {odd[0]} starts from other weights than process 0 (step, digest: {ranks[odd[0]]}, {ranks[0]})\n"
            "install the same versions on all machines, and build the network without randomness of its own"
        )


def dotted(value: Any, name: str = "") -> dict[str, Any]:
    """Nested dicts as one, by dotted path."""
    if not isinstance(value, dict):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= dotted(inner, f"{name}.{key}" if name else str(key))
    return flat
