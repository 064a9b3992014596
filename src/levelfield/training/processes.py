"""One process or many: torch.distributed as torchrun sets it up (NCCL on GPUs, gloo on CPUs)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from levelfield.errors import UserError


@dataclass(frozen=True)
class World:
    """This process's place among `size` processes. Only rank 0 writes."""

    rank: int = 0
    size: int = 1

    @property
    def main(self) -> bool:
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """`value` summed over ranks, in place."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether any rank says so; every rank gets the same answer."""
        if self.size == 1:
            return flag
        return bool(self.sum(torch.tensor([int(flag)], device=device)).item())

    def gather(self, value: object) -> list[object]:
        """`value` of every rank, in rank order, on every rank."""
        if self.size == 1:
            return [value]
        values: list[object] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def broadcast_buffers(self, module: torch.nn.Module) -> None:
        """Give every rank rank 0's buffers: BatchNorm statistics that each rank gathered alone would differ."""
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()


def announced_size() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _store() -> PrefixStore:
    """torchrun's store, under a name of this restart's own: the addresses of killed workers must not be found again."""
    kept_by_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    master = not kept_by_agent and os.environ["RANK"] == "0"
    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), announced_size(), master)
    return PrefixStore(f"levelfield/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Join the other processes of this job, and leave them at the end."""
    if announced_size() == 1:
        yield World()
        return
    if device.type == "mps":
        raise UserError("several processes need CUDA or the CPU: add --device cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    opened = not dist.is_initialized()
    if opened:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=_store(),
            rank=int(os.environ["RANK"]),
            world_size=announced_size(),
        )
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        if opened:
            dist.destroy_process_group()
