"""Checkpoints: whole or not there, newest by number, checked by SHA-256, loaded without executing code.

A file is the hex SHA-256 of what follows, a newline, and a torch archive of tensors and primitives (`weights_only`).
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from levelfield.errors import UserError
from levelfield.runs import write_bytes

_SUFFIX = ".ckpt"


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write `state` as the checkpoint of `step`, then remove all but the newest `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    body = buffer.getvalue()
    path = folder / f"step-{step:09d}{_SUFFIX}"
    write_bytes(path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    for old in _by_number(folder)[keep:]:
        old.unlink(missing_ok=True)
    return path


def load_newest(folder: Path, identity: str) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest checkpoint that is whole and belongs to `identity` (None: there is none), and what was passed over."""
    notes: list[str] = []
    for path in _by_number(folder):
        try:
            state = _read(path)
        except (OSError, ValueError) as error:
            notes.append(f"checkpoint {path.name} is damaged ({error}); going back to the one before")
            continue
        if state["identity"] != identity:
            raise UserError(
                f"{path} belongs to another run (identity {state['identity'][:12]}, this one is {identity[:12]})\n"
                "choose another --out, or remove that folder"
            )
        return state, notes
    return None, notes


def _by_number(folder: Path) -> list[Path]:
    """Checkpoints, newest step first."""
    return sorted(folder.glob(f"step-*{_SUFFIX}"), key=lambda path: int(path.stem.split("-")[1]), reverse=True)


def _read(path: Path) -> dict[str, Any]:
    digest, _, body = path.read_bytes().partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError("its checksum does not match its content")
    state: dict[str, Any] = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    return state
