"""Which code ran: a digest of the package's own files, as a commit says nothing of what was changed after it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parents[1]
SUFFIXES: Final = {".py", ".yaml", ".json", ".cpp", ".h"}
"""Files of the package that a run may be carried out by."""


@cache
def source_digest() -> str:
    """SHA-256 over the names and contents of the package's files, as they were when it was first asked for."""
    digest = hashlib.sha256()
    for path in sorted(path for path in PACKAGE.rglob("*") if path.suffix in SUFFIXES):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
