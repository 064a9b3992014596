"""The versions of what commands print with `--json`: docs/reference/json.md says what each field is.

Within a version no field goes, changes its meaning, type or unit; one may be added. What breaks that raises the number.
"""

from __future__ import annotations

from typing import Final

VERSION_KEY: Final = "json_version"
"""The first key of every answer."""

JSON_VERSIONS: Final = {
    "analyze all": 1,
    "analyze attention": 1,
    "analyze calibration": 1,
    "analyze energy": 1,
    "analyze compression": 1,
    "analyze curves": 1,
    "analyze errors": 1,
    "analyze overlays": 1,
    "analyze rank": 1,
    "analyze robustness": 1,
    "data check": 1,
    "data clean": 1,
    "data list": 1,
    "eval": 1,
    "export": 1,
    "hub push": 1,
    "gate": 1,
    "init": 1,
    "models": 1,
    "predict": 1,
    "profile": 1,
    "record": 1,
    "report": 1,
    "study list": 1,
    "study pick": 1,
    "study plan": 1,
    "study report": 1,
    "study run": 1,
    "study status": 1,
    "study sweep": 2,
    "train": 1,
}
