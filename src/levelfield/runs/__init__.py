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
from levelfield.runs.hub import at_commit, place, same_repository
from levelfield.runs.lock import FolderLock

__all__ = [
    "CALIBRATION",
    "FAILURES",
    "FolderLock",
    "Predictions",
    "RunFolder",
    "at_commit",
    "find_runs",
    "place",
    "read_predictions",
    "remove_leftovers",
    "same_repository",
    "write_bytes",
    "write_json",
    "write_predictions",
    "write_text",
]
