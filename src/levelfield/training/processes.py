"""One process or many: torch.distributed as torchrun sets it up (NCCL on GPUs, gloo on CPUs)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from levelfield.errors import UserError
from levelfield.training.device import current_device

T = TypeVar("T")

_FAILURE: Final = "failure"
"""The store's key under which a failing process leaves its reason for the others."""


class SaidElsewhereError(UserError):
    """What stops this process is said by another one: the command line ends without saying it again."""


@dataclass(frozen=True)
class World:
    """This process's place among `size` processes. Only rank 0 writes."""

    rank: int = 0
    size: int = 1
    store: Any = field(default=None, compare=False, repr=False)

    @property
    def main(self) -> bool:
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """`value` summed over ranks, in place."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def gather(self, value: object) -> list[object]:
        """`value` of every rank, in rank order, on every rank."""
        if self.size == 1:
            return [value]
        values: list[object] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: Any, source: int) -> Any:
        """`value` of rank `source`, on every rank."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, source)
        return box[0]

    def from_main(self, work: Callable[[], T]) -> T:
        """What `work` returns on rank 0, which alone does it, on every rank. Its UserError stops all of them."""
        if self.size == 1:
            return work()
        result: T | None = None
        error: UserError | None = None
        if self.main:
            try:
                result = work()
            except UserError as problem:
                error = problem
        result, reason = self.broadcast((result, None if error is None else str(error)), 0)
        if reason is not None:
            raise error or SaidElsewhereError(reason)
        return result

    def refuse(self, reason: str) -> UserError:
        """The error that all ranks raise together; rank 0 says it."""
        return UserError(reason) if self.main else SaidElsewhereError(reason)

    def lost_others(self, error: Exception) -> bool:
        """Whether `error` came of an exchange with the others that failed, as it does when one of them has ended."""
        said_by_gloo = isinstance(error, RuntimeError) and "gloo" in str(error).lower()
        return self.size > 1 and (isinstance(error, dist.DistError) or said_by_gloo)

    def tell_failure(self, reason: str) -> None:
        """Leave `reason` for the other processes, whom the end of this one is about to stop."""
        if self.store is not None:
            self.store.set(_FAILURE, f"process {self.rank} on {socket.gethostname()} failed: {reason}")

    def told_failure(self) -> str | None:
        """What another process left before it ended; None where none did."""
        try:
            if self.store is not None and self.store.check([_FAILURE]):
                return bytes(self.store.get(_FAILURE)).decode()
        except RuntimeError:  # the process that kept the store is gone
            pass
        return None

    def take_from_main(self, tensors: Iterable[Tensor]) -> None:
        """Give every rank rank 0's values of `tensors`."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)


def announced_size() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def announced_main() -> bool:
    """Whether this process is the one of its job that speaks; known before it has joined the others."""
    return announced_size() == 1 or os.environ.get("RANK", "0") == "0"


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
        with current_device(device):
            yield World()
        return
    if device.type == "mps":
        raise UserError("several processes need CUDA or the CPU: add --device cpu")
    store = None
    opened = not dist.is_initialized()
    with current_device(device):
        if opened:
            store = _store()
            backend, rank = "nccl" if device.type == "cuda" else "gloo", int(os.environ["RANK"])
            dist.init_process_group(backend, store=store, rank=rank, world_size=announced_size())
        try:
            yield World(dist.get_rank(), dist.get_world_size(), store)
        finally:
            if opened:
                dist.destroy_process_group()
