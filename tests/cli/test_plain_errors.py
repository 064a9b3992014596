"""What Typer says of wrong options is one plain line in a pipe, like our own errors, and its box on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WRONG = {
    "train --modle resnet_nano": "No such option: --modle",
    "card": "Missing argument",
    "models --json=3": "",
    "trian": "No such command 'trian'",
    "predict run a.png --top 0": "Invalid value for '--top'",
}


def run(command: str, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    bare = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "FORCE_COLOR")}
    return subprocess.run(
        [sys.executable, "-m", "levelfield", *command.split()], stdout=subprocess.PIPE, stderr=stderr, env=bare,
        text=True, encoding="utf-8", timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("command", WRONG)
def test_in_a_pipe_it_is_one_plain_line_and_where_to_look(command: str) -> None:
    done = run(command)
    assert done.returncode == 2 and done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ") and WRONG[command] in first
    assert "levelfield" in second and second.endswith("--help says what it takes")
    assert not set("│╭╰\x1b") & set(done.stderr)


def test_without_a_command_the_help_is_shown() -> None:
    done = run("")
    assert done.returncode == 2 and "Usage" in done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
def test_on_a_terminal_it_is_typers_box() -> None:
    ours, theirs = os.openpty()
    done = run("train --modle resnet_nano", theirs)
    os.close(theirs)
    said = os.read(ours, 65536).decode("utf-8", errors="replace")
    os.close(ours)
    assert done.returncode == 2 and "No such option" in said and "╭" in said
