"""What every test leaves behind is what it found: the models that it registered, and names in the user's cache."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from levelfield.data.cache_folder import cache_dir
from levelfield.known_models import names
from levelfield.models import registry

os.environ.setdefault("LEVELFIELD_NATIVE", "built")
"""Tests with a cache of their own compile nothing into it."""


def pytest_configure(config: pytest.Config) -> None:
    """Give the session, and the programs that it starts, a cache in which names that tests import end with it.

    What takes long to make and no name leads to (the C++ loops, decoded images, a script for charts) is the user's.
    """
    users, own = cache_dir(), Path(tempfile.mkdtemp(prefix="levelfield-tests-"))
    for path in users.iterdir() if users.is_dir() else ():
        if path.name != "imported":
            with suppress(OSError):  # Windows links for few
                (own / path.name).symlink_to(path, target_is_directory=path.is_dir())
    before = os.environ.get("LEVELFIELD_CACHE")
    os.environ["LEVELFIELD_CACHE"] = str(own)

    def end() -> None:
        shutil.rmtree(own, ignore_errors=True)  # links, not what they lead to
        if not hasattr(config, "workerinput"):  # once, where the tests run in several processes
            _remove_stores_of_temporary_images(users / "stores")
        os.environ.pop("LEVELFIELD_CACHE")
        if before is not None:
            os.environ["LEVELFIELD_CACHE"] = before

    config.add_cleanup(end)


def _remove_stores_of_temporary_images(stores: Path) -> None:
    """Remove the decoded form of images that were temporary and are gone: nobody decodes them again."""
    for index in stores.glob("*/index.json"):
        with suppress(OSError, ValueError):
            source = json.loads(index.read_text(encoding="utf-8"))["path"]  # None: a data set that is built in
            if source and Path(source).is_relative_to(tempfile.gettempdir()) and not Path(source).exists():
                shutil.rmtree(index.parent, ignore_errors=True)
                (stores / f".{index.parent.name}.lock").unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def _registered_models_go_with_their_test() -> Iterator[None]:
    kept = [dict(table) for table in (registry._models, registry._loaded_plugins, names._registered)]
    yield
    for table, before in zip((registry._models, registry._loaded_plugins, names._registered), kept, strict=True):
        table.clear()
        table.update(before)
