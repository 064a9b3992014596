"""Small study files for the tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from levelfield.study import Study

RECIPE = {
    "optimizer": {"name": "adamw", "lr": 0.003},
    "augment": {"crop": {"name": "pad_crop", "padding_px": 1}},
    "batch_size": 64,
    "precision": "fp32",
    "validation": 0,
    "budget": {"steps": 6},
}
STUDY = {
    "question": "Which?",
    "data": {"name": "digits", "image_size": 16, "train_limit": 200, "test_limit": 60},
    "recipes": "small.yaml",
    "seeds": 2,
    "baseline": "resnet_nano",
    "models": ["resnet_nano", "vit_mini"],
}


def write_study_file(folder: Path, **changes: Any) -> Path:
    """Write a study of two tiny rows, with `changes`, and its recipe into `folder`; returns the study's path."""
    (folder / "small.yaml").write_text(yaml.safe_dump(RECIPE))
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in {**STUDY, **changes}.items() if value is not None}))
    return path


@pytest.fixture
def study_file(tmp_path: Path) -> Callable[..., Path]:
    """`write_study_file` in the test's own folder."""
    return partial(write_study_file, tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study file and the folder of its two rows at two seeds, finished; not to be changed."""
    folder = tmp_path_factory.mktemp("study")
    path = write_study_file(folder)
    Study.load(path).run(folder / "out")
    return path, folder / "out"


@pytest.fixture
def copied(finished: tuple[Path, Path], tmp_path: Path) -> tuple[Study, Path]:
    """The finished study in a folder of the test's own."""
    shutil.copytree(finished[1], tmp_path / "out")
    return Study.load(finished[0]), tmp_path / "out"
