"""What some tests need beyond `make test`: extras, Ray, what makes the site. Without it they skip, or fail if asked."""

from __future__ import annotations

import importlib.util
import os
from typing import Final

import pytest

REMEDIES: Final = {
    "EXTRAS": "`make test REQUIRE_EXTRAS=1` installs requirements-extras.txt",
    "RAY": "`make test REQUIRE_RAY=1` installs requirements-ray.txt",
    "DOCS": "`make docs` installs requirements-docs.txt",
}
"""What brings them, by what is behind `REQUIRE_` in the variable that makes a missing one a failure."""


def need(*modules: str, of: str = "EXTRAS") -> None:
    """Skip where one of `modules`, named without dots, is not installed; fail instead under REQUIRE_`of`=1.

    In a test, in a fixture, or on a module's own level for all of its tests.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        message = f"{', '.join(missing)} not installed: {REMEDIES[of]}"
        if os.environ.get(f"REQUIRE_{of}") == "1":
            pytest.fail(message)
        pytest.skip(message, allow_module_level=True)
