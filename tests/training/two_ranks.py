"""Two real processes of one thread each, joined by gloo, that carry out one function."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

RANKS = 2


def on_two_ranks(work: Callable[..., Any], *arguments: Any, timeout_s: float = 500) -> list[Any]:
    """What `work(rank, *arguments)`, a function of a module, returns on either rank."""
    context = mp.get_context("spawn")
    queue = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        store = (Path(folder) / "store").as_uri()
        workers = [context.Process(target=_rank, args=(rank, store, queue, work, arguments)) for rank in range(RANKS)]
        for worker in workers:
            worker.start()
        try:
            results: dict[int, Any] = {}
            deadline = time.monotonic() + timeout_s
            while len(results) < RANKS:
                try:
                    rank, result, error = queue.get(timeout=1)
                except Empty:
                    assert time.monotonic() < deadline, f"no answer within {timeout_s:g} s"
                    assert not any(worker.exitcode for worker in workers), "a process died before it began"
                    continue
                assert error is None, f"rank {rank}:\n{error}"
                results[rank] = result
            for worker in workers:
                worker.join(60)
        finally:
            for worker in workers:
                worker.kill()
    return [results[rank] for rank in range(RANKS)]


def _rank(rank: int, store: str, queue: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    try:
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=RANKS)
        queue.put((rank, work(rank, *arguments), None))
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:
        queue.put((rank, None, traceback.format_exc()))
