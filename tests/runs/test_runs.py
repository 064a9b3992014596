"""The run folder: atomic files, the lock, predictions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from levelfield.errors import UserError
from levelfield.runs import FolderLock, Predictions, RunFolder, find_runs, read_predictions, write_bytes
from levelfield.runs import write_predictions as write

HOLD = """
import sys, time
from pathlib import Path
from levelfield.runs import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

WRITE_FOR_EVER = """
import os, sys, time
from pathlib import Path
from levelfield.runs import write_bytes
def stay(_):
    print("writing", flush=True)
    time.sleep(60)
os.fsync = stay
write_bytes(Path(sys.argv[1]), b"part")
"""


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_write_that_is_interrupted_leaves_no_litter_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_the_next_holder_clears_away_what_a_killed_writer_left_and_nothing_else(tmp_path: Path) -> None:
    """A writer killed in mid-write, another that is still writing, and files of other makers."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path / name)], stdout=subprocess.PIPE, text=True
        )
        for name in ("killed", "writing")
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == "writing\n"
        writers[0].kill()
        writers[0].wait()
        for name in (".mine.tmp", "step-1.ckpt.tmp"):
            (tmp_path / name).write_text("")
        assert len(list(tmp_path.glob(".killed.*.tmp"))) == 1
        with FolderLock(tmp_path):
            left = sorted(path.name for path in tmp_path.iterdir())
        assert [name for name in left if "writing" not in name] == [".mine.tmp", "lock", "step-1.ckpt.tmp"]
        assert len(left) == 4
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()


def test_second_process_is_told_who_holds_the_folder_and_death_frees_it(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {holder.pid}"), FolderLock(tmp_path):
            pass
    finally:
        holder.kill()
        holder.wait()
    with FolderLock(tmp_path):
        assert str(os.getpid()) in (tmp_path / "lock").read_text()


def test_unwritable_folder_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"), FolderLock(tmp_path / "file" / "run"):
        pass


def test_predictions_come_back_as_they_were(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(4), size=9).astype(np.float32)
    written = Predictions(np.arange(9)[::-1].copy(), generator.integers(0, 4, 9), probabilities)
    write(tmp_path / "p.parquet", written)
    read = read_predictions(tmp_path / "p.parquet")
    for name in ("index", "label", "probabilities"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))


def test_damaged_predictions_are_named(tmp_path: Path) -> None:
    (tmp_path / "p.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match=r"p\.parquet"):
        read_predictions(tmp_path / "p.parquet")


def test_metrics_end_before_a_line_cut_off_by_a_kill(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert RunFolder(tmp_path).metrics() == [{"step": 1}, {"step": 2}]


def test_metrics_damaged_before_their_end_are_said(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n\0\0\0{"step": 2}\n{"step": 3}\n')
    with pytest.raises(UserError, match="line 2 is no JSON"):
        RunFolder(tmp_path).metrics()


def test_runs_are_found_below_and_others_are_refused(tmp_path: Path) -> None:
    for name in ("b/seed0", "a"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text("{}")
    assert [run.path.relative_to(tmp_path).as_posix() for run in find_runs(tmp_path)] == ["a", "b/seed0"]
    with pytest.raises(UserError, match="not a run folder"):
        RunFolder(tmp_path / "b").description()
