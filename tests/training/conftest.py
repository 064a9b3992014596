"""How the training tests start real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from levelfield.spec import RunSpec


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `levelfield train` on a configuration file in a process (group) of its own."""

    def begin(spec: RunSpec, out: Path, *extra: str, launcher: list[str] | None = None) -> subprocess.Popen[str]:
        config = tmp_path / f"{out.name}.yaml"
        config.write_text(spec.model_dump_json())
        program = launcher or [sys.executable]
        return subprocess.Popen(
            [*program, "-m", "levelfield", "train", "--config", str(config), "--out", str(out), "--json", *extra],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    return begin
