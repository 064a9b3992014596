"""What was computed of a run, kept under its identity in the study's folder: an analysis goes on where it was stopped.

A key of what was asked (data, seed, how many images), of the run's result and of levelfield's version belongs to each,
so that nothing is taken for something else: a run that was trained again has the same identity. What cannot be read
counts as absent, and is computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.runs import Predictions, read_predictions, write_json, write_predictions
from levelfield.tables.runs_of_row import Measured

CACHE: Final = "cache"


def write_answer(folder: Path, stem: str, answer: Mapping[str, Any]) -> Path:
    """Write what an analysis found into `folder` (a study's analysis/), where the study's page shows it."""
    path = folder / f"{stem}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, answer)
    return path


def asked_of(run: Measured, **asked: Any) -> dict[str, Any]:
    """What is `asked` (plain JSON values) of `run` as it was carried out, for a `ResultCache`."""
    return {**asked, "result": run.digest}


class ResultCache:
    """Results of one `kind` of analysis in `folder` (a study's analysis/)."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder / CACHE / kind

    def path(self, identity: str, asked: Mapping[str, Any], suffix: str = ".json") -> Path:
        """Where the result of the run `identity` lies, for what was `asked` (of `asked_of`)."""
        key = json.dumps({**asked, "levelfield": version("levelfield")}, sort_keys=True)
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        return self.folder / f"{identity[:16]}-{digest}{suffix}"

    def get(self, identity: str | None, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was put there; None where nothing was, or it is damaged."""
        if identity is None:
            return None
        try:
            value = json.loads(self.path(identity, asked).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def put(self, identity: str | None, asked: Mapping[str, Any], value: Mapping[str, Any]) -> None:
        if identity is not None:
            path = self.path(identity, asked)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, dict(value))

    def predictions(self, identity: str, asked: Mapping[str, Any]) -> Predictions | None:
        path = self.path(identity, asked, ".parquet")
        try:
            return read_predictions(path) if path.is_file() else None
        except UserError:
            return None

    def put_predictions(self, identity: str, asked: Mapping[str, Any], found: Predictions) -> None:
        path = self.path(identity, asked, ".parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_predictions(path, found)
