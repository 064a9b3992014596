"""The folder that holds one run."""

from levelfield.runs.atomic import remove_leftovers, write_bytes, write_json, write_text
from levelfield.runs.folder import (
    CALIBRATION,
    FAILURES,
    Predictions,
    RunFolder,
    find_runs,
    read_predictions,
    write_predictions,
)
from levelfield.runs.lock import FolderLock

__all__ = [
    "CALIBRATION",
    "FAILURES",
    "FolderLock",
    "Predictions",
    "RunFolder",
    "find_runs",
    "read_predictions",
    "remove_leftovers",
    "write_bytes",
    "write_json",
    "write_predictions",
    "write_text",
]
