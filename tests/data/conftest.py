"""A cache folder of each test's own, and the real data where it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def real_data() -> Path:
    folder = Path(os.environ.get("LEVELFIELD_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no real data: set LEVELFIELD_DATA")
    return folder
