"""What every test leaves behind is what it found: here the models that it registered."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from levelfield.known_models import names
from levelfield.models import registry

os.environ.setdefault("LEVELFIELD_NATIVE", "built")
"""Tests with a cache of their own compile nothing into it."""


@pytest.fixture(autouse=True)
def _registered_models_go_with_their_test() -> Iterator[None]:
    kept = [dict(table) for table in (registry._models, registry._loaded_plugins, names._registered)]
    yield
    for table, before in zip((registry._models, registry._loaded_plugins, names._registered), kept, strict=True):
        table.clear()
        table.update(before)
