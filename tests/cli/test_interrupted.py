"""Ctrl-C at any time: no traceback, no "bug in levelfield"."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from levelfield.cli import app as app_module

DURING_START = """
import os, runpy, signal, sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupted())
sys.argv = ["levelfield", "models"]
runpy.run_module("levelfield", run_name="__main__")
"""


def test_while_the_command_is_loaded_it_ends_in_silence() -> None:
    found = subprocess.run([sys.executable, "-c", DURING_START], capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_library_that_swallows_it_and_fails_is_no_bug_of_ours(
    rank: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """numpy, interrupted while it is imported, ends in a RecursionError. Of several processes one says it."""
    monkeypatch.setenv("RANK", str(rank))

    def swallows(**_: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RecursionError from None

    monkeypatch.setattr(app_module, "app", swallows)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as stop:
            app_module.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert stop.value.code == 130
    said = capsys.readouterr().err
    assert "internal error" not in said and ("goes on where it stopped" in said) is (rank == 0)
