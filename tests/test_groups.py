"""Tests of one group run in one process, one after another: what the groups of this suite stand on.

pytest 9.2 and pytest-xdist 3.8 do not divide tests by group together, and say nothing: the tests of a group then run
in every process, and what the first of them makes for all is made in each.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

GROUPED = """
import os, pathlib, pytest

pytestmark = pytest.mark.xdist_group("one")

@pytest.mark.parametrize("number", range(8))
def test_it(number):
    (pathlib.Path(__file__).parent / f"{number}.txt").write_text(os.environ["PYTEST_XDIST_WORKER"])
"""


def test_tests_of_a_group_run_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "test_grouped.py").write_text(GROUPED)
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    assert "-m pytest -n auto --dist loadgroup" in makefile
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", f"--rootdir={tmp_path}", str(tmp_path)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    workers = [(tmp_path / f"{number}.txt").read_text() for number in range(8)]
    assert len(set(workers)) == 1, workers
