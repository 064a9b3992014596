"""In what the rows of a table were configured differently, and where they ran."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from levelfield.spec import covers
from levelfield.tables.audit.compare_values import flat
from levelfield.tables.number_format import NONE
from levelfield.tables.table import StudyTable

NOT_SHOWN = (
    *("seed", "model.name", "model.channels", "data.checksum"),
    *("model.start_from.digest", "recipe.distil.teacher_digest"),
)


def flat_words(value: Mapping[str, Any]) -> dict[str, str]:
    """A nested mapping as one level of dotted keys and short words."""
    return {key: _words(part) for key, part in flat(value).items()}


def _words(value: Any) -> str:
    if value is None:
        return NONE
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, tuple, Mapping)) else str(value)


def differences(table: StudyTable) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Settings that differ: {key: {row: value}}; and those that all rows share: {key: value}."""
    settings = {row.name: flat_words(row.runs.spec.science()) for row in table.rows if row.runs.spec is not None}
    keys = [
        key for key in dict.fromkeys(k for setting in settings.values() for k in setting) if not covers(NOT_SHOWN, key)
    ]
    different, shared = {}, {}
    for key in keys:
        values = {name: setting.get(key, NONE) for name, setting in settings.items()}
        if len(set(values.values())) > 1:
            different[key] = values
        else:
            shared[key] = next(iter(values.values()))
    return different, shared


def environments(table: StudyTable) -> dict[str, list[str]]:
    """What environment.json files say, by key, each value once."""
    found: dict[str, dict[str, None]] = {}
    for row in table.rows:
        for run in row.runs.finished:
            for key, value in flat_words(run.folder.environment() if run.folder else {}).items():
                found.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in found.items()}
