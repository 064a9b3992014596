"""A study killed ten times with kill -9 ends with the table, and the weights, of one left alone."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from levelfield.runs import find_runs
from levelfield.study import Study
from levelfield.tables.table import StudyTable
from levelfield.tables.text.records import records

KILLS = 10
CLOCKED = ("train_seconds",)
"""What a table says of the machine: no two runs agree on it."""
OPTIONS: dict[str, Any] = {
    "overrides": ["budget.steps=20", "execution.threads=1", "execution.checkpoint_every_steps=1"],
    "page": False,
}


def without_clocks(table: StudyTable) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in CLOCKED} for row in records(table)]


def weights(out: Path) -> dict[str, bytes]:
    return {str(run.path.relative_to(out)): run.weights.read_bytes() for run in find_runs(out)}


def test_a_study_killed_ten_times_ends_with_the_same_table(study_file: Callable[..., Path], tmp_path: Path) -> None:
    """Each time it is killed a few checkpoints (none, at times) and some milliseconds after it was started again.

    The killed processes are forked from one that has imported torch: it is their training that is to be cut, anywhere.
    """
    study, out = Study.load(study_file()), tmp_path / "out"
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["levelfield.study", "levelfield.training"])
    draw = random.Random(5)
    for _ in range(KILLS):
        new, old = set[Path](), set(out.glob("*/*/checkpoints/*.ckpt"))
        process = forks.Process(target=study.run, args=(out,), kwargs=OPTIONS)
        process.start()
        wanted, deadline = draw.randint(0, 3), time.monotonic() + 120
        while len(new) < wanted:
            assert process.is_alive() and time.monotonic() < deadline
            time.sleep(0.004)
            new |= set(out.glob("*/*/checkpoints/*.ckpt")) - old
        time.sleep(draw.uniform(0.0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    table = study.run(out, **OPTIONS)
    alone = study.run(tmp_path / "alone", **OPTIONS)
    assert without_clocks(table) == without_clocks(alone)
    assert weights(out) == weights(tmp_path / "alone")
    results = [run.result() for run in find_runs(out)]
    steps = [step for result in results if result is not None for step in result["resumed_from"]]
    assert len(steps) >= KILLS // 2 and max(steps) > 0
