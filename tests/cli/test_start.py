"""What the command does before anything else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from levelfield.cli.app import app

START = """
import os, sys
from levelfield.cli.app import main
sys.argv = ["levelfield", "--help"]
try:
    main()
except SystemExit:
    print(os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("given", "expected"), [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")]
)
def test_threads_spin_briefly_unless_told_otherwise(given: dict[str, str], expected: str) -> None:
    inherited = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    run = subprocess.run(
        [sys.executable, "-c", START], capture_output=True, text=True, check=True, env={**inherited, **given}
    )
    assert run.stdout.splitlines()[-1] == f"{expected} False"  # set before torch, which reads it when loaded


def test_names_that_are_checked_without_torch_are_those_that_it_computes_in() -> None:
    from levelfield.cli.check_names import DTYPES
    from levelfield.precision import DTYPES as COMPUTED

    assert set(DTYPES) == set(COMPUTED)


def test_a_yes_beforehand_spares_the_timing_of_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(prepared: object) -> float:
        raise RuntimeError("steps were timed")

    monkeypatch.setattr("levelfield.training.step_timing.surely_within", lambda prepared, seconds: False)
    monkeypatch.setattr("levelfield.training.step_timing.estimate_seconds", timed)
    command = ["train", "--model", "resnet_nano", "--data", "digits", "--set", "budget.steps=1", "--out"]
    asked = CliRunner().invoke(app, [*command, str(tmp_path / "asks")])
    assert str(asked.exception) == "steps were timed"
    assert CliRunner().invoke(app, [*command, str(tmp_path / "run"), "--yes"]).exit_code == 0
    assert (tmp_path / "run" / "result.json").is_file()


def test_a_record_told_yes_beforehand_times_no_steps_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(prepared: object) -> float:
        raise RuntimeError("steps were timed")

    monkeypatch.setattr("levelfield.training.step_timing.estimate_seconds", timed)
    command = ["record", "digits", "--target", "5", "--model", "resnet_nano", "-n", "1", "--set", "budget.steps=1"]
    asked = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "asks")])
    assert str(asked.exception) == "steps were timed"
    assert CliRunner().invoke(app, [*command, "--out", str(tmp_path / "record"), "--yes"]).exit_code == 0
    assert (tmp_path / "record" / "record.json").is_file()
