"""What travels between a study and the node that carries one of its runs out: the run and what it needs, the outcome.

Where the node sees the study's folder the run is trained in it, and nothing comes back but word of it. Elsewhere the
ended folder comes back as data, without checkpoints. Plugins, weights that the run starts from, and its teacher come
along where the node does not have them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from levelfield.runs import FolderLock, RunFolder, write_bytes
from levelfield.spec import RunSpec

UNSENT: Final = ("lock", "checkpoints")
"""What of a run folder stays where it is."""


@dataclass(frozen=True)
class SentTeacher:
    """The finished run that teaches another: its `folder`, absolute, its small `files`, the source of each plugin, and
    its file of `weights`, absolute."""

    folder: str
    files: dict[str, bytes]
    plugins: tuple[bytes, ...]
    weights: str


@dataclass(frozen=True)
class Parcel:
    """A resolved run on its way.

    `run`: its specification as plain JSON values. `folder`: its run folder, absolute. `mark`: a file that only a
    machine which sees the study's folder can read, and what it holds. `directory`: what relative paths of the run start
    from. `plugins`: the source of each plugin. `start`: the file of weights that it starts from, absolute. `teacher`:
    whoever teaches a distilled run.
    """

    run: dict[str, Any]
    identity: str
    folder: str
    mark: tuple[str, bytes]
    directory: str
    plugins: tuple[bytes, ...] = ()
    start: str | None = None
    teacher: SentTeacher | None = None

    @property
    def weights(self) -> tuple[str, ...]:
        """The files of weights that a node may ask for."""
        files = (self.start, None if self.teacher is None else self.teacher.weights)
        return tuple(file for file in files if file is not None)


@dataclass(frozen=True)
class Outcome:
    """What became of a run: the seconds it took, why it failed (None: it did not), and its files by their path in the
    folder where they could not be left there."""

    seconds: float
    error: str | None = None
    files: dict[str, bytes] | None = None


def pack(spec: RunSpec, folder: Path, mark: tuple[str, bytes]) -> Parcel:
    """A resolved run as it is sent from this machine."""
    start, distil = spec.model.start_from, spec.recipe.distil
    return Parcel(
        run=spec.model_dump(mode="json"),
        identity=spec.identity(),
        folder=str(folder.absolute()),
        mark=mark,
        directory=str(Path.cwd()),
        plugins=tuple(Path(plugin.path).read_bytes() for plugin in spec.plugins),
        start=None if start is None else weights_file(start.source),
        teacher=None if distil is None else sent_teacher(RunFolder(Path(distil.teacher).expanduser().absolute())),
    )


def sent_teacher(run: RunFolder) -> SentTeacher:
    """A finished run as it is sent to whom it teaches."""
    return SentTeacher(
        folder=str(run.path),
        files={name: (run.path / name).read_bytes() for name in ("run.json", "result.json")},
        plugins=tuple(Path(plugin.path).read_bytes() for plugin in run.spec().plugins),
        weights=str(run.weights),
    )


def weights_file(source: str) -> str | None:
    """The file that a `start_from` names, absolute; None where it names no file here (timm's weights)."""
    path = Path(source).expanduser().absolute()
    path = RunFolder(path).weights if path.is_dir() else path
    return str(path) if path.is_file() else None


def read_files(folder: Path) -> dict[str, bytes]:
    """The files of a run folder by their path in it, without lock and checkpoints."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name.as_posix(): path.read_bytes() for name, path in paths.items() if name.parts[0] not in UNSENT}


def put_files(files: dict[str, bytes], folder: Path) -> None:
    """Make `folder` hold `files`: it has them all or, after a crash, none. What was there is replaced."""
    beside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    for name, content in files.items():
        path = beside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
    with FolderLock(folder):
        shutil.rmtree(folder)
        beside.rename(folder)
