"""A run carried out on another machine: what travels there, what is done there, what comes back.

Where that machine sees the study's folder the run is trained in it, so that any other machine can go on from its newest
checkpoint. Elsewhere it is trained in that machine's own cache, and the ended folder comes back as data, without
checkpoints. Plugins, and weights that the run starts from, come along where the machine does not have them.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from levelfield.errors import UserError
from levelfield.runs import FolderLock, RunFolder, write_bytes, write_json
from levelfield.spec import Plugin, RunSpec

LOCK_S = 120.0
"""Seconds to wait for the lock of a run folder: a file server frees that of a lost machine only after a while."""
STOPPED = "stopped on request"
"""Why a run has no result that was not allowed to begin, or was interrupted."""
UNSENT = ("lock", "checkpoints")
"""What of a run folder stays where it is."""


@dataclass(frozen=True)
class Parcel:
    """A resolved run on its way.

    `run`: its specification as plain JSON values. `folder`: its run folder, absolute. `mark`: a file that only a
    machine which sees the study's folder can read, and what it holds. `directory`: what relative paths of the run start
    from. `plugins`: the source of each plugin. `start`: the file of weights that it starts from, absolute.
    """

    run: dict[str, Any]
    identity: str
    folder: str
    mark: tuple[str, bytes]
    directory: str
    plugins: tuple[bytes, ...] = ()
    start: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a run: the seconds it took, why it failed (None: it did not), and its files by their path in the
    folder where they could not be left there."""

    seconds: float
    error: str | None = None
    files: dict[str, bytes] | None = None


def pack(spec: RunSpec, folder: Path, mark: tuple[str, bytes]) -> Parcel:
    """A resolved run as it is sent from this machine."""
    start = spec.model.start_from
    return Parcel(
        run=spec.model_dump(mode="json"),
        identity=spec.identity(),
        folder=str(folder.absolute()),
        mark=mark,
        directory=str(Path.cwd()),
        plugins=tuple(Path(plugin.path).read_bytes() for plugin in spec.plugins),
        start=None if start is None else weights_file(start.source),
    )


def weights_file(source: str) -> str | None:
    """The file that a `start_from` names, absolute; None where it names no file here (timm's weights)."""
    path = Path(source).expanduser().absolute()
    path = RunFolder(path).weights if path.is_dir() else path
    return str(path) if path.is_file() else None


def carry_out(parcel: Parcel, weights: Callable[[], bytes]) -> Outcome:
    """Train the run of `parcel` on this machine. `weights` fetches the file that it starts from, if it is not here.

    Whatever stops the run is told in the outcome, in the words in which a run on the machine that sent it would fail.
    """
    from levelfield.data.cache_folder import cache_dir
    from levelfield.training import Interrupted

    began = time.monotonic()
    scratch = cache_dir() / "cluster"
    shared = _holds(*parcel.mark)
    folder = Path(parcel.folder) if shared else scratch / parcel.identity[:16]
    error = files = None
    try:
        _train(parcel, folder, weights, scratch)
    except KeyboardInterrupt as stop:
        error = STOPPED + (", a checkpoint is written" if isinstance(stop, Interrupted) else "")
    except UserError as problem:
        error = str(problem)
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    if not shared and (folder / "result.json").is_file():
        files = read_files(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(time.monotonic() - began, error, files)


def _train(parcel: Parcel, folder: Path, weights: Callable[[], bytes], scratch: Path) -> None:
    from levelfield.training import prepare, train_prepared

    with suppress(OSError):
        os.chdir(parcel.directory)
    sent = RunSpec.parse(parcel.run, "the run that was sent to this machine")
    prepared = prepare(_as_it_is_here(sent, parcel, weights, scratch))
    if prepared.identity != parcel.identity:
        raise UserError(
            "the levelfield of this machine makes another run of it than that of the machine that sent it\n"
            "install the same version on all machines"
        )
    _wait_for_lock(folder)
    try:
        train_prepared(prepared, folder)
    finally:
        if (folder / "result.json").is_file():
            _say_what_was_sent(folder, parcel)


def _as_it_is_here(spec: RunSpec, parcel: Parcel, weights: Callable[[], bytes], scratch: Path) -> RunSpec:
    """`spec` with the paths of this machine: plugins and weights that are not here are put below `scratch`.

    A data folder that is not here is left out, so that this machine's own `LEVELFIELD_DATA` counts.
    """
    plugins = []
    for plugin, source in zip(spec.plugins, parcel.plugins, strict=True):
        if not _holds(plugin.path, source):
            plugin = Plugin(path=str(_put(source, scratch, plugin.digest, plugin.path)), digest=plugin.digest)
        plugins.append(plugin)
    model, execution = spec.model, spec.execution
    if parcel.start is not None and not Path(parcel.start).is_file():
        assert model.start_from is not None
        path = _put(weights(), scratch, model.start_from.digest, parcel.start)
        model = model.model_copy(update={"start_from": model.start_from.model_copy(update={"source": str(path)})})
    if execution.data_dir is not None and not Path(execution.data_dir).expanduser().is_dir():
        execution = execution.model_copy(update={"data_dir": None})
    return spec.model_copy(update={"plugins": tuple(plugins), "model": model, "execution": execution})


def _put(content: bytes, scratch: Path, digest: str | None, name: str) -> Path:
    path = scratch / str(digest)[:16] / Path(name).name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
    return path


def _say_what_was_sent(folder: Path, parcel: Parcel) -> None:
    """Let run.json name the paths of the machine that sent the run: those of this one mean nothing elsewhere."""
    description = RunFolder(folder).description()
    if description["run"] != parcel.run:
        write_json(folder / "run.json", {**description, "run": parcel.run})


def _wait_for_lock(folder: Path) -> None:
    """Wait while the lock of a lost machine still stands; if it never falls, the run itself says who holds it."""
    deadline = time.monotonic() + LOCK_S
    while time.monotonic() < deadline:
        try:
            with FolderLock(folder):
                return
        except UserError:
            time.sleep(1.0)


def _holds(path: str, content: bytes) -> bool:
    try:
        return Path(path).read_bytes() == content
    except OSError:
        return False


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
