"""Files that are either whole or not there: temporary file, fsync, rename.

A temporary file is locked while it is written, so that one whose writer was killed can be told from one in use.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.system.files import rename_open, sync_folder
from levelfield.system.locks import lock

_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds the old content or the new, never a part. A full disk leaves the old one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            with suppress(OSError):  # where a file system knows no locks, leftovers are left
                lock(file.fileno(), wait=True)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            rename_open(file, path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):  # where there was none, as in no folder
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise UserError(f"cannot write {path}: {error.strerror}\n{_remedy(error, path.parent)}") from error


def _remedy(error: OSError, folder: Path) -> str:
    """What helps where nothing could be written into `folder`."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"there is no folder {folder}: make it, or write elsewhere"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"give yourself the right to write in {folder}, or write elsewhere"
    return "free some space, or write elsewhere"


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in `folder` whose writers were killed while they wrote."""
    for path in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name) is None:
            continue
        with suppress(OSError):  # it is gone, or a file system knows no locks
            with path.open("r+b") as file:
                left = lock(file.fileno(), wait=False)
            if left:  # else somebody is writing it
                path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for UTF-8 text."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN and infinities are refused, as JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
