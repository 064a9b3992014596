"""Files that are either whole or not there: temporary file, fsync, rename.

A temporary file is locked while it is written, so that one whose writer was killed can be told from one in use.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError

_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds the old content or the new, never a part. A full disk leaves the old one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            with suppress(OSError):  # where a file system knows no locks, leftovers are left
                fcntl.flock(file, fcntl.LOCK_EX)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise UserError(f"cannot write {path}: {error.strerror}\nfree some space or choose another --out") from error


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in `folder` whose writers were killed while they wrote."""
    for path in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name) is None:
            continue
        with suppress(OSError), path.open("r+b") as file:  # OSError: somebody is writing it, or it is gone
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for UTF-8 text."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN and infinities are refused, as JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
