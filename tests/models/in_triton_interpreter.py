"""Triton kernels carried out by Triton's interpreter, which needs no GPU: in a process of its own, as it asks once."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest

TOLERANCES = [("float32", 1e-6), ("float16", 1e-3), ("bfloat16", 8e-3)]


def report_of(script: str) -> Any:
    """What `script` prints as JSON: `errors` (by case, whose name holds the dtype: relative errors, then whether the
    layout was kept), `gradcheck`, `opcheck`. Skips the test where Triton is not installed."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed (it comes with torch's CUDA builds)")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def check_errors(report: Any, dtype: str, tolerance: float) -> None:
    """All eight cases of float32, and the four of every other dtype, are as near as that and keep their layout."""
    found = {name: values for name, values in report["errors"].items() if f" {dtype} " in name}
    assert len(found) == (8 if dtype == "float32" else 4)
    for name, (*errors, kept) in found.items():
        assert max(errors) < tolerance, name
        assert kept, name


def check_soundness(report: Any) -> None:
    """Gradients are those of finite differences, and the operator is registered as torch wants it."""
    assert report["gradcheck"] is True
    assert set(report["opcheck"].values()) == {"SUCCESS"}
