"""One process writes to a run folder at a time."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from levelfield.errors import UserError
from levelfield.runs.atomic import remove_leftovers
from levelfield.system.files import open_descriptor, read_at, write_whole
from levelfield.system.locks import lock


class FolderLock:
    """An advisory lock on `folder`, as a context manager. The kernel frees it when its holder dies, however it dies.

    Creates the folder, and clears away what writers that were killed had begun. Raises UserError if the folder cannot
    be written or another process holds the lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: int | None = None

    def __enter__(self) -> Self:
        path = self.folder / "lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = open_descriptor(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise UserError(
                f"output folder {self.folder} cannot be written: {error.strerror}\nchoose another with --out"
            ) from error
        if not lock(self._file, wait=False):
            holder = read_at(self._file, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(self._file)
            self._file = None
            raise UserError(
                f"output folder {self.folder} is being written by {holder}\n"
                "wait for it, stop it, or choose another folder with --out"
            )
        remove_leftovers(self.folder)
        write_whole(self._file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
