"""The executor on a Ray cluster: each run is a Ray task with CPUs and GPUs of its own.

Ray decides where and when a task runs, and starts it again on another node when its node is lost. What a node does is
in `ray_node.py`, what it is sent for that in `ray_parcel.py`.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import write_bytes
from levelfield.spec import SCIENCE_VERSION, RunSpec
from levelfield.studies.running.executor import STOPPED
from levelfield.studies.running.ray_joining import import_ray, join, resources_of_a_run, runs_that_fit
from levelfield.studies.running.ray_node import Board, carry_out_task, describe_node
from levelfield.studies.running.ray_parcel import Outcome, pack, put_files

RETRIES: Final = 3
"""How often a run is started again because its node or its process was lost."""
STOP_S: Final = 60.0
"""Seconds that runs get to write a checkpoint when the study is stopped."""
LOOK_S: Final = 0.5
"""Seconds between two looks at what the nodes report."""
ARRIVE_S: Final = 90.0
"""Seconds after which a shared file system must show here what another machine has written."""


@dataclass
class _Sent:
    """A run that Ray has: its future, where its folder is, and on which nodes it was begun."""

    name: str
    future: Future[float]
    folder: Path
    progress: Progress
    nodes: list[str]


class RayCluster:
    """Runs on the nodes of a Ray cluster. levelfield must be installed on all of them, in one version.

    Args:
        address: HOST:PORT or ray://HOST:PORT of its head; None: RAY_ADDRESS, else the cluster that this machine is in,
            else one that is started here and ends with the study.
        cpus, gpus: of a run; None: one GPU and its share of the CPUs where the cluster has GPUs, else `CPUS`.

    Raises UserError where Ray is not installed, no cluster answers, or none of its nodes is large enough for a run.
    """

    def __init__(self, address: str | None = None, *, cpus: int | None = None, gpus: float | None = None) -> None:
        self._ray = import_ray()
        self._joined = join(self._ray, address)
        try:
            self.resources = resources_of_a_run(self._nodes(), cpus, gpus)
            options = {"num_cpus": self.resources.cpus, "num_gpus": self.resources.gpus, "max_retries": RETRIES}
            self._task = self._ray.remote(**options)(carry_out_task)
            self._facts = self._get(
                self._ray.remote(**options)(describe_node).remote(bool(self.resources.gpus)), "a node"
            )
            if self._facts["science_version"] != SCIENCE_VERSION:
                raise UserError("the nodes have another version of levelfield than this machine: install one on all")
            # An actor beside the study lives as long as the study.
            node = self._ray.get_runtime_context().get_node_id()
            here = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
            self._board = self._ray.remote(num_cpus=0)(Board).options(scheduling_strategy=here).remote()
        except BaseException:
            self._leave()
            raise
        self._mark = secrets.token_hex(16)
        self._marks: set[Path] = set()
        self._weights: dict[str, Any] = {}
        self._sent: dict[Any, _Sent] = {}
        self._changing = threading.Lock()
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @property
    def slots(self) -> int:
        """Twice what fits into the cluster now: a run always waits for the next free node."""
        return 2 * max(1, sum(runs_that_fit(node, self.resources) for node in self._nodes()))

    def resolve(self, spec: RunSpec) -> RunSpec:
        """`spec` resolved for a node: its device and precision are those of the nodes, not of this machine."""
        import torch

        from levelfield.training.prepare_run import resolve

        execution, precision, device = spec.execution, spec.recipe.precision, spec.execution.device
        if device == "auto":
            device = self._facts["device"]
            precision = self._facts["precision"].get(precision, precision)
        data_dir = execution.data_dir or os.environ.get("LEVELFIELD_DATA")
        changes = {
            "recipe.precision": precision,
            "execution.threads": execution.threads or self.resources.cpus,
            "execution.device": "cpu" if device == "cpu" else execution.device,
            "execution.data_dir": None if data_dir is None else str(Path(data_dir).expanduser().absolute()),
        }
        return resolve(spec.changed(changes), torch.device(device))

    def submit(self, spec: RunSpec, folder: Path, progress: Progress) -> Future[float]:
        mark = folder.parent.absolute() / f".here-{self._mark}"
        if mark not in self._marks:
            mark.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(mark, self._mark.encode())
            self._marks.add(mark)
        parcel = pack(spec, folder, (str(mark), self._mark.encode()))
        name = f"{folder.parent.name} seed {spec.seed}"
        sent = _Sent(name, Future(), folder, progress, [])
        with self._changing:
            self._sent[self._task.remote(parcel, self._put(parcel.weights), self._board, name)] = sent
        return sent.future

    def close(self) -> None:
        """Stop what still runs, each with a checkpoint, and leave the cluster."""
        if self._closed.is_set():
            return
        begun: set[str] = set()
        with suppress(self._ray.exceptions.RayError):
            begun = self._ray.get(self._board.stop.remote())
        for ref, sent in self._pending().items():
            if sent.name not in begun:
                self._ray.cancel(ref)
        deadline = time.monotonic() + STOP_S
        while self._pending() and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        for ref in self._pending():
            self._ray.cancel(ref, force=True)
        self._closed.set()
        self._watcher.join()
        for ref in self._pending():  # nobody looks any more at what was cancelled by force
            self._settle(ref, UserError(STOPPED))
        for mark in self._marks:
            mark.unlink(missing_ok=True)
        self._leave()

    def _leave(self) -> None:
        if self._joined:
            self._ray.shutdown()

    def _pending(self) -> dict[Any, _Sent]:
        with self._changing:
            return dict(self._sent)

    def _put(self, files: Sequence[str]) -> dict[str, Any]:
        """The content of files of weights in Ray's object store, each once for all runs that take it."""
        for file in files:
            if file not in self._weights:
                self._weights[file] = self._ray.put(Path(file).read_bytes())
        return {file: self._weights[file] for file in files}

    def _nodes(self) -> list[Mapping[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _watch(self) -> None:
        """Until closed: say where runs are begun again, and take in what comes back."""
        while not self._closed.wait(LOOK_S):
            if not (pending := list(self._pending())):
                continue
            lost: UserError | None = None
            try:
                ended, _ = self._ray.wait(pending, num_returns=len(pending), timeout=0)
                with suppress(self._ray.exceptions.RayActorError):  # without the board only its notes are missing
                    for name, node in self._ray.get(self._board.take.remote()):
                        self._begun(name, node)
            except Exception as error:
                reason = str(error).strip().splitlines()[0]
                ended, lost = pending, UserError(f"the Ray cluster is lost: {reason}")
            for ref in ended:
                self._settle(ref, lost)

    def _settle(self, ref: Any, lost: UserError | None) -> None:
        sent = self._sent[ref]
        try:
            if lost is not None:
                raise lost
            sent.future.set_result(self._take(ref, sent))
        except Exception as error:
            sent.future.set_exception(error)
        with self._changing:
            del self._sent[ref]

    def _begun(self, name: str, node: str) -> None:
        sent = next((sent for sent in self._pending().values() if sent.name == name), None)
        if sent is not None:
            if sent.nodes:
                attempt = f"attempt {len(sent.nodes) + 1} of {RETRIES + 1}"
                sent.progress.note(f"{name}: {sent.nodes[-1]} was lost; begun again on {node}, {attempt}")
            sent.nodes.append(node)

    def _take(self, ref: Any, sent: _Sent) -> float:
        outcome: Outcome = self._get(ref, sent.nodes[-1] if sent.nodes else "its node")
        if outcome.files is not None:
            put_files(outcome.files, sent.folder)
        if outcome.error is not None:
            raise UserError(outcome.error)
        deadline = time.monotonic() + ARRIVE_S
        while not (sent.folder / "result.json").is_file() and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        return outcome.seconds

    def _get(self, ref: Any, node: str) -> Any:
        """What a task returned; UserError in one line for what kept it from returning."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(ref)
        except errors.TaskCancelledError:
            raise UserError(STOPPED) from None
        except errors.RayTaskError as error:
            last = str(error.cause).strip().splitlines()[-1]
            remedy = "\ninstall levelfield on all nodes, in one version" if "No module named" in last else ""
            raise UserError(f"{node}: {last}{remedy}") from None
        except errors.RayError as error:
            what = str(error).strip().splitlines()[0]
            raise UserError(f"{node} was lost, and so were {RETRIES} attempts to go on elsewhere: {what}") from None
