"""What runs on the nodes of a Ray cluster: the task that trains one run there, and the one that says what a node has.

A run is trained in the study's folder where the node sees it, so that any other node can go on from its newest
checkpoint, else in the node's own cache.
"""

from __future__ import annotations

import _thread
import hashlib
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.runs import FolderLock, RunFolder, write_bytes, write_json
from levelfield.spec import SCIENCE_VERSION, Plugin, RunSpec
from levelfield.studies.running.executor import STOPPED
from levelfield.studies.running.ray_parcel import Outcome, Parcel, SentTeacher, read_files

LOCK_S: Final = 120.0
"""Seconds to wait for the lock of a run folder: a file server frees that of a lost machine only after a while."""
LOOK_S: Final = 0.5
"""Seconds between two looks at whether the study is to stop."""


class Board:
    """An actor beside the study: where runs were begun, as the nodes tell, and whether all are to stop."""

    def __init__(self) -> None:
        self._begun: set[str] = set()
        self._news: list[tuple[str, str]] = []
        self._stopping = False

    def begin(self, name: str, node: str) -> bool:
        """Say that a run begins on a node; whether it may: none does any more once `stop` has answered."""
        if not self._stopping:
            self._begun.add(name)
            self._news.append((name, node))
        return not self._stopping

    def take(self) -> list[tuple[str, str]]:
        """Where runs were begun since the last call."""
        news, self._news = self._news, []
        return news

    def stop(self) -> set[str]:
        """Ask all runs to stop; which were ever begun."""
        self._stopping = True
        return self._begun

    def stopping(self) -> bool:
        return self._stopping


def carry_out_task(parcel: Parcel, weights: dict[str, Any], board: Any, name: str) -> Outcome:
    """The task: on a node. `weights`, by file, are inside a dict so that Ray fetches none before it is asked for."""
    import ray

    ended = threading.Event()

    def stop_when_asked() -> None:
        # Ray's own cancelling interrupts again and again: the second time would cut the checkpoint.
        with suppress(ray.exceptions.RayError):
            while not ended.wait(LOOK_S):
                if ray.get(board.stopping.remote()):
                    _thread.interrupt_main()
                    return

    node = f"node {socket.gethostname()} ({ray.get_runtime_context().get_node_id()[:6]})"
    with suppress(ray.exceptions.RayActorError):  # a run can do without the board
        if not ray.get(board.begin.remote(name, node)):
            return Outcome(0.0, STOPPED)
    threading.Thread(target=stop_when_asked, daemon=True).start()
    try:
        outcome = carry_out(parcel, lambda file: ray.get(weights[file]))
    except KeyboardInterrupt:
        outcome = Outcome(0.0, STOPPED)
    except ImportError as problem:
        outcome = Outcome(0.0, f"ImportError: {problem}")
    finally:
        ended.set()
    if outcome.error is not None and not outcome.error.startswith(STOPPED):
        with suppress(ray.exceptions.RayError):
            if ray.get(board.stopping.remote()):  # cut while it imported, it fails in words that mean nothing
                return replace(outcome, error=STOPPED)
    return outcome


def describe_node(gpu: bool) -> dict[str, Any]:
    """The task that says what a node offers to a run, with a GPU or without."""
    from levelfield.precision import choose_precision
    from levelfield.training.device import choose_device

    device = choose_device("auto" if gpu else "cpu")
    return {
        "science_version": SCIENCE_VERSION,
        "device": device.type,
        "precision": {wanted: choose_precision(wanted, device) for wanted in ("auto", "bf16_if_native")},
    }


def carry_out(parcel: Parcel, weights: Callable[[str], bytes]) -> Outcome:
    """Train the run of `parcel` on this machine. `weights` fetches a file of weights that it needs and is not here.

    Whatever stops the run is told in the outcome, in the words in which a run on the machine that sent it would fail.
    """
    from levelfield.data.cache_folder import cache_dir
    from levelfield.training import Interrupted, StoppedAtEpoch

    began = time.monotonic()
    scratch = cache_dir() / "cluster"
    shared = _holds(*parcel.mark)
    folder = Path(parcel.folder) if shared else scratch / parcel.identity[:16]
    error = files = None
    at_epoch = False
    try:
        _train(parcel, folder, weights, scratch)
    except StoppedAtEpoch as stop:
        error, at_epoch = str(stop), True
    except KeyboardInterrupt as stop:
        error = STOPPED + (", a checkpoint is written" if isinstance(stop, Interrupted) else "")
    except UserError as problem:
        error = str(problem)
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    if not shared and (ended := (folder / "result.json").is_file()) | at_epoch:
        files = read_files(folder)
        if ended:
            shutil.rmtree(folder, ignore_errors=True)
    return Outcome(time.monotonic() - began, error, files)


def _train(parcel: Parcel, folder: Path, weights: Callable[[str], bytes], scratch: Path) -> None:
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


def _as_it_is_here(spec: RunSpec, parcel: Parcel, weights: Callable[[str], bytes], scratch: Path) -> RunSpec:
    """`spec` with the paths of this machine: plugins, weights and a teacher that are not here are put below `scratch`.

    A data folder that is not here is left out, so that this machine's own `LEVELFIELD_DATA` counts.
    """
    changes: dict[str, Any] = {"plugins": _plugins_here(spec.plugins, parcel.plugins, scratch)}
    if parcel.start is not None and not Path(parcel.start).is_file():
        assert spec.model.start_from is not None
        path = _put(weights(parcel.start), scratch, spec.model.start_from.digest, parcel.start)
        changes["model.start_from.source"] = str(path)
    if parcel.teacher is not None and not Path(parcel.teacher.weights).is_file():
        changes["recipe.distil.teacher"] = str(_put_teacher(parcel.teacher, weights, scratch))
    data_dir = spec.execution.data_dir
    if data_dir is not None and not Path(data_dir).expanduser().is_dir():
        changes["execution.data_dir"] = None
    return spec.changed(changes)


def _plugins_here(plugins: tuple[Plugin, ...], sources: tuple[bytes, ...], scratch: Path) -> tuple[Plugin, ...]:
    """`plugins` with the paths of this machine."""
    return tuple(
        plugin if _holds(plugin.path, source)
        else Plugin(path=str(_put(source, scratch, plugin.digest, plugin.path)), digest=plugin.digest)
        for plugin, source in zip(plugins, sources, strict=True)
    )  # fmt: skip


def _put_teacher(teacher: SentTeacher, weights: Callable[[str], bytes], scratch: Path) -> Path:
    """The folder below `scratch` that holds `teacher`, with the paths of this machine; a folder by its content."""
    content = {**teacher.files, Path(teacher.weights).name: weights(teacher.weights)}
    digest = hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in content.values())).hexdigest()
    description = json.loads(content["run.json"])
    plugins = tuple(Plugin.parse(plugin, "the teacher's run.json") for plugin in description["run"]["plugins"])
    here = _plugins_here(plugins, teacher.plugins, scratch)
    description["run"]["plugins"] = [plugin.model_dump(mode="json") for plugin in here]
    content["run.json"] = json.dumps(description).encode()
    (folder,) = {_put(each, scratch, digest, name).parent for name, each in content.items()}
    return folder


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
