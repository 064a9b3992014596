"""What the tests of the site and the notebooks need beyond `make test`: installed by `make docs` or REQUIRE_DOCS=1."""

from __future__ import annotations

import importlib.util
import os

import pytest


def need(*modules: str) -> None:
    """Skip where one of `modules` is not installed; fail instead under REQUIRE_DOCS=1."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        message = f"{', '.join(missing)} not installed: `make docs` installs requirements-docs.txt"
        if os.environ.get("REQUIRE_DOCS") == "1":
            pytest.fail(message)
        pytest.skip(message)
