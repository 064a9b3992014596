"""A cache folder of each test's own, and the real data where it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def real_data(request: pytest.FixtureRequest, _own_cache: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real data, with a cache that outlives the tests: decoding it is the slow part."""
    folder = Path(os.environ.get("LEVELFIELD_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no real data: set LEVELFIELD_DATA")
    assert request.config.cache is not None
    monkeypatch.setenv("LEVELFIELD_CACHE", str(request.config.cache.mkdir("levelfield")))
    return folder
