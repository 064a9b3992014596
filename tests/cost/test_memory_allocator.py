"""The process keeps what it frees."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource, torch
from levelfield.memory_allocator import keep_freed_memory
kept = keep_freed_memory()
faults = []
for _ in range(40):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(33 * 2**18)  # 33 MiB: 8448 pages of 4 KiB
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(json.dumps([kept, faults]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_a_large_block_that_was_freed_is_used_again_without_page_faults() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True)
    kept, faults = json.loads(run.stdout)
    if not kept:
        pytest.skip("this C library has no mallopt")
    # glibc before 2.38 wastes a few aligned blocks before the heap settles: how many hangs on where it starts
    assert max(faults[-10:]) < 100, faults
