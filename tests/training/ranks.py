"""Several real processes of one job, forked from the tests: without the seconds that importing torch takes."""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any


def in_ranks(works: Sequence[Callable[[], Any]], timeout_s: float = 120.0) -> list[Any]:
    """Call `works[rank]` in a process of that rank each; what each returned, or the error that ended it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = [_fork(rank, len(works), port, work) for rank, work in enumerate(works)]
    deadline = time.monotonic() + timeout_s
    outcomes = []
    for child, pipe in children:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        outcomes.append(_read(pipe) if ready else TimeoutError("this rank hangs"))
        if not ready:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return outcomes


def _fork(rank: int, size: int, port: int, work: Callable[[], Any]) -> tuple[int, int]:
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
        os.environ.update({key: str(value) for key, value in place.items()})
        os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
        try:
            outcome: Any = work()
        except BaseException as error:
            outcome = error
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(outcome, pipe)
    finally:
        os._exit(0)


def _read(pipe: int) -> Any:
    with os.fdopen(pipe, "rb") as file:
        content = file.read()
    return pickle.loads(content) if content else ChildProcessError("this rank died")
