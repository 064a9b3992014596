"""Checkpoint files: whole or not there, newest by number, checked by SHA-256, loaded without executing code.

A file is the hex SHA-256 of what follows, a newline, and a torch archive of tensors and primitives (`weights_only`).
A state in which something is not a number is neither written (`first_not_finite`) nor gone on from.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from levelfield.errors import UserError
from levelfield.runs import write_bytes
from levelfield.training.not_finite import first_not_finite

_NAME: Final = re.compile(r"step-(\d+)\.ckpt")
UNREADABLE: Final = (OSError, ValueError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError)
"""What reading a damaged checkpoint raises."""


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write `state` as the checkpoint of `step`, then remove all but the newest `keep`.

    Those of later steps go too: they were passed over when the run went on from an earlier one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    body = buffer.getvalue()
    path = folder / f"step-{step:09d}.ckpt"
    write_bytes(path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    numbered = by_number(folder)
    passed_over = [old for number, old in numbered if number > step]
    for old in passed_over + [old for number, old in numbered if number <= step][keep:]:
        old.unlink(missing_ok=True)
    return path


def load_newest(
    folder: Path, identity: str, infinite: frozenset[str] = frozenset()
) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest checkpoint that is whole, finite and of `identity` (None: there is none), and what was passed over.

    `infinite` as in `first_not_finite`.
    """
    notes: list[str] = []
    for _, path in by_number(folder):
        try:
            state = _read(path)
            identity_there = str(state["identity"])
        except UNREADABLE as error:
            notes.append(f"checkpoint {path.name} is damaged ({error}); going back to the one before")
            continue
        if identity_there != identity:
            raise UserError(
                f"{path} belongs to another run (identity {identity_there[:12]}, this one is {identity[:12]})\n"
                "choose another --out, or remove that folder"
            )
        if (name := first_not_finite(state, infinite)) is not None:
            notes.append(f"checkpoint {path.name} is not finite ({name}); going back to the one before")
            continue
        return state, notes
    return None, notes


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state that the checkpoint `path` holds, on the CPU. Raises UserError where it is damaged."""
    try:
        state = _read(path)
        state["identity"]
    except UNREADABLE as error:
        raise UserError(f"checkpoint {path} is damaged ({error})\nremove it") from None
    return state


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """SHA-256 (16 hex digits) over names and bytes of `tensors`."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def by_number(folder: Path) -> list[tuple[int, Path]]:
    """(step, checkpoint), newest step first."""
    found = [(match, path) for path in folder.glob("step-*.ckpt") if (match := _NAME.fullmatch(path.name))]
    return sorted(((int(match[1]), path) for match, path in found), reverse=True)


def _read(path: Path) -> dict[str, Any]:
    digest, _, body = path.read_bytes().partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError("its checksum does not match its content")
    state: dict[str, Any] = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    return state
