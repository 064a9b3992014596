"""Every command, block of Python and study file that README.md and docs/ show is run, or read by what runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shown_commands import PAGES, ROOT, steps
from typer.main import get_command

from levelfield.cli.app import app

STEPS = [step for page in PAGES for step in steps(page, (ROOT / page).read_text(encoding="utf-8"))]
pytestmark = pytest.mark.xdist_group("shown commands")


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """By page, what failed when its steps were taken one after another."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_shown.py")), str(tmp_path_factory.mktemp("shown"))],
        capture_output=True, text=True, timeout=3600,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1", "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, list[str]] = {}
    for page, line, why in json.loads(done.stdout.splitlines()[-1]):
        found.setdefault(page, []).append(f"{page}:{line}: {why}")
    return found


@pytest.mark.parametrize("page", sorted({step.page for step in STEPS if step.kind != "marked"}))
def test_what_a_page_shows_works(page: str, failures: dict[str, list[str]]) -> None:
    assert failures.get(page) is None, "\n\n".join(failures[page])


def test_nothing_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = Counter(step.kind for step in STEPS)
    with capsys.disabled():
        marked = [f"{step.page}:{step.line}" for step in STEPS if step.kind == "marked"]
        print(f"\nshown: {kinds['executed']} executed, {kinds['parsed']} parsed, {kinds['marked']} marked {marked}")
    assert kinds["executed"] >= 60 and kinds["parsed"] >= 20
    assert kinds["marked"] <= 7
    fences = sum((ROOT / page).read_text(encoding="utf-8").count("\n```") for page in PAGES)
    assert fences % 2 == 0


def test_a_line_that_no_rule_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="no rule for 'levelfeild train'"):
        steps("page.md", "```\nlevelfeild train\n```\n")
    (step,) = steps("page.md", "<!-- not run: needs a moon -->\n```\nlevelfeild train\n```\n")
    assert step.kind == "marked"
    assert steps("page.md", "```text\nlevelfeild train\n```\n") == []


@pytest.mark.parametrize(
    "line",
    [
        "pip install levelfeild", "pip install -r nothing.txt", "pip install levelfield[rai]", "make nothing",
        "levelfield gate a b --dta cifar10", "torchrun --nproc 2 -m levelfield train --confg run.yaml",
    ],
)  # fmt: skip
def test_a_line_that_is_not_executed_is_held_against_what_knows_its_words(line: str) -> None:
    from run_shown import check

    with pytest.raises(BaseException) as refused:
        check(line.split())
    assert not isinstance(refused.value, (ImportError, NameError, TypeError))
    check(["pip", "install", "--no-deps", "levelfield"])
    check(["levelfield", "gate", "a", "b", "--data", "cifar10"])


def every_command() -> Iterator[tuple[str, ...]]:
    """The words of every command and group of the command line."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), get_command(app))]
    for words, command in waiting:
        if words:
            yield words
        waiting += [((*words, name), below) for name, below in getattr(command, "commands", {}).items()]
