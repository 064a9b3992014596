"""Test images read from the store without torch are those that `open_data` gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelfield.data import open_data
from levelfield.data.sources.locate import find
from levelfield.data.store.stored_test_images import stored_test_images
from levelfield.spec import DataSpec

PROGRAM = """
import sys
from levelfield.data.sources.locate import find
from levelfield.data.store.stored_test_images import stored_test_images
from levelfield.spec import DataSpec
_, image = stored_test_images(DataSpec(name="digits", image_size=16), find("digits"))
print(image(3).shape, "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    "wanted",
    [
        {"image_size": None},
        {"image_size": 16},
        {"image_size": 16, "resize_px": 21},
        {"image_size": 12, "fit": "crop", "interpolation": "bicubic"},
        {"image_size": 16, "test_limit": 40},
    ],
)
def test_they_are_what_the_network_was_tested_on(
    wanted: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path))
    spec, found = DataSpec(name="digits", **wanted), find("digits")
    assert stored_test_images(spec, found) is None  # before there is a store
    data = open_data(spec)
    stored = stored_test_images(spec, found)
    assert stored is not None and stored[0] == data.checksum
    whole = data.test.read(data.test.index.new_tensor(range(len(data.test)))).permute(0, 2, 3, 1).numpy()
    assert all(
        np.array_equal(stored[1](int(index)), pixels) for index, pixels in zip(data.test.index, whole, strict=True)
    )
    assert stored[1](-1) is None and stored[1](10_000) is None
    assert stored_test_images(DataSpec(name="digits", image_size=9), found) is None  # pixels that are not there


def test_they_are_read_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path))
    open_data(DataSpec(name="digits", image_size=16))
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "(16, 16, 3) False", done.stderr
