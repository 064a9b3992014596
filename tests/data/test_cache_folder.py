"""One process decodes a set and the others wait; a killed one leaves nothing behind; a full disk is a clear line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_images import encode, random_images

OPEN = """
import sys, time
from levelfield.data import open_data
from levelfield.spec import DataSpec
said = []
def progress(what, done, total):
    said.append(what)
    if sys.argv[2] == "slow" and "decoding" in what:
        print("decoding", flush=True)
        time.sleep(600)
data = open_data(DataSpec(name="folder:" + sys.argv[1], image_size=9), progress=progress)
print(sum("decoding" in what for what in said), sum("waiting" in what for what in said), len(data.train), data.checksum)
"""


def folder(root: Path, images: int = 40) -> Path:
    for split in ("train", "test"):
        for row, pixels in enumerate(random_images(images, 12, 15, seed=len(split))):
            path = root / "set" / split / "ab"[row % 2] / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(pixels))
    return root / "set"


def start(path: Path, how: str = "", before: str = "") -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", before + OPEN, str(path), how], stdout=pipe, stderr=pipe, text=True)


def test_of_several_processes_one_decodes_and_all_read_the_same(tmp_path: Path) -> None:
    path = folder(tmp_path)
    processes = [start(path) for _ in range(3)]
    said = [process.communicate(timeout=600) for process in processes]
    lines = [out.split() for out, _ in said]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert sum(int(line[0]) > 0 for line in lines) == 1
    assert len({tuple(line[2:]) for line in lines}) == 1


def test_a_killed_builder_leaves_no_lock_and_no_half_files(tmp_path: Path) -> None:
    path = folder(tmp_path)
    slow = start(path, "slow")
    assert slow.stdout is not None and slow.stdout.readline() == "decoding\n"
    waiting = start(path)
    time.sleep(0.5)
    slow.send_signal(signal.SIGKILL)
    slow.wait()
    out, error = waiting.communicate(timeout=600)
    assert waiting.returncode == 0, error
    assert int(out.split()[0]) > 0  # nothing usable was there: it decoded itself
    assert not list(Path(os.environ["LEVELFIELD_CACHE"]).rglob("*.tmp"))


@pytest.mark.parametrize("variant", ["first use", "another size"])
def test_a_full_disk_is_one_line(variant: str, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the same call fails, in the same place."""
    path = folder(tmp_path)
    if variant == "another size":
        assert start(path).wait() == 0
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
    size = "image_size=9" if variant == "first use" else "image_size=10"
    code = limit + OPEN.replace("image_size=9", size)
    done = subprocess.run([sys.executable, "-c", code, str(path), ""], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()
    assert done.returncode == 1 and "UserError: no room in" in last[-2] and "LEVELFIELD_CACHE" in last[-1]
    assert not list(Path(os.environ["LEVELFIELD_CACHE"]).rglob("*.tmp"))
