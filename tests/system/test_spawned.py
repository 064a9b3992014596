"""A spawned process ends with the one that started it, however that ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

PARENT = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from levelfield.system.spawned import end_with_parent_process

if __name__ == "__main__":
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning, initializer=end_with_parent_process) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 300)
        time.sleep(300)
"""


@pytest.mark.skipif(os.name == "nt", reason="looks for a process as POSIX systems do")
def test_a_killed_process_leaves_none_that_it_spawned(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    spawned = int(parent.stdout.readline())
    os.kill(spawned, 0)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 30
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.kill(spawned, 0)
            time.sleep(0.05)
        pytest.fail("what it spawned goes on")
    parent.stdout.close()
