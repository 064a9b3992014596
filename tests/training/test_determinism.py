"""The switch for deterministic algorithms says what torch's own does, and tells the compiler where there is one."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys, torch
from levelfield.training.determinism import use_deterministic_algorithms
if LOADED:
    import torch._inductor.config
use_deterministic_algorithms(ON, warn_only=WARN, compiles=COMPILES)
config = sys.modules.get("torch._inductor.config")
told = None if config is None else config.deterministic
print(torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled(), told)
"""


@pytest.mark.parametrize(
    ("on", "warn", "loaded", "compiles", "told"),
    [(True, True, False, False, None), (True, False, False, True, True), (False, True, True, False, False)],
)
def test_what_torch_and_its_compiler_are_told(on: bool, warn: bool, loaded: bool, compiles: bool, told: object) -> None:
    program = PROGRAM
    for word, value in (("LOADED", loaded), ("ON", on), ("WARN", warn), ("COMPILES", compiles)):
        program = program.replace(word, str(value))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout.split() == [str(on), str(warn), str(told)]
