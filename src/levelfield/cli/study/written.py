"""A study that a command wrote: its file, and running it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from levelfield.cli.output import messages
from levelfield.errors import UserError

DATA_DIR: Final = "LEVELFIELD_DATA"


def check_file(path: Path) -> None:
    """Raise UserError for the name of a file that is no study's."""
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"--file {path} must end in .yaml: it is a study file")


def write_study(path: Path, values: Mapping[str, Any]) -> None:
    """Write a study's keys to `path`, with the command that does it above, and say how many rows and seeds it has.

    Raises UserError for keys that make no study, and for a file that no such command wrote.
    """
    from levelfield.studies.declared.study import StudySpec

    study = StudySpec.parse({"name": path.stem, **values}, str(path))
    write_keys(path, values)
    rows = f"{len(study.rows)} rows, {len(study.seeds)} {'seed' if len(study.seeds) == 1 else 'seeds'} each"
    messages.print(f"written: {path} ({rows})", soft_wrap=True, highlight=False)


def write_keys(path: Path, values: Mapping[str, Any]) -> None:
    """Write keys to `path`, with the command that does it above. Raises UserError for a file that no such command
    wrote."""
    from levelfield.studies.declared.study_file import write_study_file

    write_study_file(path, values, shlex.join(["levelfield", *sys.argv[1:]]))


def run_written(
    path: Path, only_write: bool, *, out: Path | None, data_dir: str | None, plugin: list[str] | None,
    parallel: int | None, yes: bool, json: bool,
) -> None:  # fmt: skip
    """Run the study of `path`, or say how where only its file was asked for."""
    if only_write:
        needed = [word for file in plugin or () for word in ("--plugin", file)]
        needed += [] if out is None else ["--out", str(out)]
        needed += [] if data_dir in (None, os.environ.get(DATA_DIR)) else ["--data-dir", str(data_dir)]
        command = shlex.join(["levelfield", "study", "run", str(path), *needed])
        messages.print(f"run it: {command}", soft_wrap=True, highlight=False)
        return
    from levelfield.cli.study.run import run

    run(
        name=str(path), scale=None, set_=None, out=out, data_dir=data_dir, plugin=plugin, parallel=parallel, yes=yes,
        json=json,
    )  # fmt: skip
