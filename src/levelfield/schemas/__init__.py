"""JSON Schemas of the files that a user writes: studies, recipes, runs. Editors complete and check YAML by them.

Made by `levelfield.studies.declared.json_schemas` from the values that read these files; `python tests/spec/schemas.py`
writes them here.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

NAMES: Final = ("study", "recipe", "run")


def schema_text(name: str) -> str:
    """The schema of the files `name` as JSON."""
    return (resources.files(__name__) / f"{name}.json").read_text(encoding="utf-8")


def schema_path(name: str) -> Path:
    """Where the schema of the files `name` is installed."""
    return Path(str(resources.files(__name__) / f"{name}.json"))
