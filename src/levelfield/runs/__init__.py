"""The folder that holds one run."""

from levelfield.runs.atomic import remove_leftovers, write_bytes, write_json, write_text
from levelfield.runs.folder import (
    CALIBRATION,
    FAILURES,
    Predictions,
    RunFolder,
    find_runs,
    folder_name,
    read_predictions,
    write_predictions,
)
from levelfield.runs.hub import at_commit, place, same_repository
from levelfield.runs.lock import FolderLock
from levelfield.runs.weights_content import WEIGHTS_DIGEST, content_digest

__all__ = [
    "CALIBRATION",
    "FAILURES",
    "FolderLock",
    "Predictions",
    "RunFolder",
    "WEIGHTS_DIGEST",
    "at_commit",
    "content_digest",
    "find_runs",
    "folder_name",
    "place",
    "read_predictions",
    "remove_leftovers",
    "same_repository",
    "write_bytes",
    "write_json",
    "write_predictions",
    "write_text",
]
