"""Tests leave nothing in the cache of who runs them that a command would show: no name of a data set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from every_command import LINES, prepare

from levelfield.data.sources.locate import imports


def test_a_name_that_a_test_imports_is_not_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = imports()
    prepare(tmp_path)
    (line,) = LINES["data import"]
    subprocess.run([sys.executable, "-m", "levelfield", *line.split()], cwd=tmp_path, check=True, timeout=300)
    assert (ours / "mine.json").is_file()
    monkeypatch.delenv("LEVELFIELD_CACHE")
    assert not imports().is_relative_to(ours.parent) and not ours.is_symlink() and not ours.parent.is_symlink()
    users = imports() / "mine.json"
    assert not users.is_file() or str(tmp_path) not in users.read_text(encoding="utf-8")
    (ours / "mine.json").unlink()
