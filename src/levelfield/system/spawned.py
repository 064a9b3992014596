"""What a spawned process does first: it ends with the process that started it, also where that is killed."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing import connection


def end_with_parent_process() -> None:
    """The initialiser of a process pool: a thread waits for the parent's end, and ends this process then."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a process that multiprocessing has started has a parent"

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
