"""Stores built by processes: to the byte those of one thread, bad images named, Ctrl-C leaving nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from made_images import encode, random_images
from test_bad_images import folder_with_bad_images
from test_opening import make_set

from levelfield.data import open_data
from levelfield.data.cache_folder import cache_dir
from levelfield.data.sources.readers.contract import Records
from levelfield.data.store import over_cores
from levelfield.data.store.over_cores import Cores
from levelfield.data.store.read_images import Item, fitted, read, sums
from levelfield.data.store.resize import Fit
from levelfield.errors import UserError
from levelfield.spec import DataSpec
from levelfield.spec.augment import RandomResizedCrop


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Three cores, and processes for any number of images; the ids of those that were started."""
    begin, ids = over_cores._Process.__init__, list[int]()

    def noted(self: over_cores._Process, *arguments: object) -> None:
        begin(self, *arguments)  # type: ignore[arg-type]
        ids.append(self._process.pid)

    monkeypatch.setattr(over_cores, "cores", lambda: 3)
    monkeypatch.setattr(over_cores, "MANY", 1)
    monkeypatch.setattr(over_cores, "_CHUNK", 7)
    monkeypatch.setattr(over_cores._Process, "__init__", noted)
    return ids


def folder_of_photographs(root: Path) -> Path:
    for row in range(40):
        path = root / "wild" / ("train" if row < 30 else "test") / "ab"[row % 2] / f"{row}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(random_images(1, 20 + row, 60 - row, seed=row)[0], "JPEG"))
    return root


def store_of(spec: DataSpec, root: Path, cache: Path, patch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files of the store that opening `spec` builds in `cache`."""
    patch.setenv("LEVELFIELD_CACHE", str(cache))
    open_data(spec, root)
    open_data(spec, root, crop=RandomResizedCrop())
    return {
        path.relative_to(cache).as_posix(): path.read_bytes()
        for path in sorted(cache_dir().rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


@pytest.mark.parametrize("form", ["parquet", "photographs"])
def test_a_store_is_to_the_byte_that_of_one_thread(
    form: str, tmp_path: Path, started: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    name = make_set(root / "my-set").name if form == "parquet" else folder_of_photographs(root) and "wild"
    spec = DataSpec(name=name, image_size=10)
    by_three = store_of(spec, root, tmp_path / "three", monkeypatch)
    assert len(set(started)) > 2
    monkeypatch.setattr(over_cores, "cores", lambda: 1)
    count = len(started)
    by_one = store_of(spec, root, tmp_path / "one", monkeypatch)
    assert len(started) == count
    assert by_three == by_one and any(name.endswith(".npy") for name in by_one)
    for process in started:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_bad_images_are_named_as_ever(tmp_path: Path, started: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder_with_bad_images(tmp_path)
    spec = DataSpec(name="odd", on_bad_image="skip")
    by_three = store_of(spec, root, tmp_path / "three", monkeypatch)
    monkeypatch.setattr(over_cores, "MANY", 10**6)
    assert store_of(spec, root, tmp_path / "threads", monkeypatch) == by_three
    monkeypatch.setattr(over_cores, "MANY", 1)
    with pytest.raises(UserError, match=r"a/bad0.png: the file is empty(.|\n)*--set data.on_bad_image=skip"):
        open_data(DataSpec(name="odd"), root)
    assert started


class Killing(Records):
    """Images, of which the 30th stands for one that exhausts the memory of the process that decodes it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, started: list[int]) -> None:
        self.labels, self.started = np.zeros(60, dtype=np.int64), started

    def item(self, row: int) -> bytes:
        if row == 30:
            for process in list(self.started):
                os.kill(process, signal.SIGKILL)
        return encode(random_images(1)[0])


def test_a_process_that_is_killed_is_told(started: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    said = "ended with code -9\nthe machine may have run out of memory"
    with pytest.raises(UserError, match=said), Cores() as cores:
        list(cores.over_records(Killing(monkeypatch, started), partial(fitted, fit=Fit("resize", 8))))


def test_an_image_that_cannot_be_read_keeps_its_error() -> None:
    item: Item = FileNotFoundError(2, "No such file or directory", "x.png")
    good = encode(random_images(1)[0])
    some = read([good, item, good], 0, None)
    assert some.places == [0, 2] and [place for place, _ in some.bad] == [1] and "No such file" in some.bad[0][1]
    with pytest.raises(FileNotFoundError):
        fitted([good, item], Fit("resize", 8))


@pytest.mark.parametrize("shape", [(1, 1), (32, 32), (300, 2), (700, 3), (2, 700)])
def test_sums_are_exact(shape: tuple[int, int]) -> None:
    for images in (random_images(3, *shape), np.full((2, *shape, 3), 255, dtype=np.uint8)):
        flat = images.reshape(len(images), -1, 3).astype(np.int64)
        levels, squares = sums(images)
        assert levels.tolist() == flat.sum(1).tolist() and squares.tolist() == (flat**2).sum(1).tolist()


def test_ctrl_c_ends_a_build_and_all_its_processes(tmp_path: Path) -> None:
    root = folder_of_photographs(tmp_path / "data")
    build = """
import sys
from levelfield.data import open_data
from levelfield.data.store import over_cores
from levelfield.spec import DataSpec
over_cores.MANY, over_cores._CHUNK, over_cores.cores = 1, 2, lambda: 2
def slowly(what, done, total):
    print(what, done, flush=True)
    import time; time.sleep(0.5)
open_data(DataSpec(name="wild", image_size=10), sys.argv[1], progress=slowly)
"""
    command = [sys.executable, "-c", build, str(root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == b"train: decoding 2\n"
    os.killpg(process.pid, signal.SIGINT)
    process.stdout.read()
    assert process.wait(30) != 0
    deadline = time.monotonic() + 10
    while True:  # the last of them closes with the pipe to the one that it worked for
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < deadline
    assert not list(cache_dir().rglob("index.json"))
    assert len(open_data(DataSpec(name="wild", image_size=10), root).train) == 30


@pytest.mark.parametrize("many", [1, 10**6])
def test_chunks_without_a_good_image_are_left_out(
    many: int, tmp_path: Path, started: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole chunks of bad images, in the middle and at the end, and none good among those that are looked at first."""
    bad = {*range(7, 14), 21, *np.linspace(0, 21, 32, dtype=int).tolist()} - {3, 4}
    for row in range(22):
        for split in ("train", "test"):
            path = tmp_path / "data" / "odd" / split / "ab"[row % 2] / f"{row:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"" if split == "train" and row in bad else encode(random_images(1, 8, seed=row)[0]))
    monkeypatch.setattr(over_cores, "MANY", many)
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"00.png: the file is empty"):
        open_data(DataSpec(name="odd"), tmp_path / "data")
    data = open_data(DataSpec(name="odd", on_bad_image="skip"), tmp_path / "data")
    assert len(data.train) == 22 - len(bad) and len(data.test) == 22
    assert data.train.side_px == 8
