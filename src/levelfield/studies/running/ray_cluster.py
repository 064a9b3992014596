"""An executor on a Ray cluster: each run is a Ray task with CPUs and GPUs of its own.

Ray decides where and when a task runs, and starts it again on another node when its node is lost. What a node does, and
what it must be sent for that, is in `parcel.py`.
"""

from __future__ import annotations

import _thread
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import write_bytes
from levelfield.spec import SCIENCE_VERSION, RunSpec
from levelfield.studies.running.remote_run import STOPPED, Outcome, Parcel, carry_out, pack, put_files

RETRIES = 3
"""How often a run is started again because its node or its process was lost."""
CPUS = 4
"""CPUs of a run where the cluster has no GPUs and nothing else is asked for."""
CONNECT_S = 5.0
STOP_S = 60.0
"""Seconds that runs get to write a checkpoint when the study is stopped."""
LOOK_S = 0.5
"""Seconds between two looks at what the nodes report."""
ARRIVE_S = 90.0
"""Seconds after which a shared file system must show here what another machine has written."""


@dataclass(frozen=True)
class Resources:
    """What one run takes of a node."""

    cpus: int
    gpus: float

    def __str__(self) -> str:
        return f"{self.cpus} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")


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
        self._ray = _import_ray()
        self._joined = _join(self._ray, address)
        try:
            self.resources = _resources(self._nodes(), cpus, gpus)
            options = {"num_cpus": self.resources.cpus, "num_gpus": self.resources.gpus, "max_retries": RETRIES}
            self._task = self._ray.remote(**options)(_carry_out)
            self._facts = self._get(self._ray.remote(**options)(_describe).remote(bool(self.resources.gpus)), "a node")
            if self._facts["science_version"] != SCIENCE_VERSION:
                raise UserError("the nodes have another version of levelfield than this machine: install one on all")
            self._board = self._ray.remote(num_cpus=0)(_Board).options(scheduling_strategy=_here(self._ray)).remote()
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
        return 2 * max(1, sum(_fitting(node, self.resources) for node in self._nodes()))

    def resolve(self, spec: RunSpec) -> RunSpec:
        """`spec` resolved for a node: its device and precision are those of the nodes, not of this machine."""
        import torch

        from levelfield.training.prepare_run import resolve

        execution, recipe, device = spec.execution, spec.recipe, spec.execution.device
        if device == "auto":
            device = self._facts["device"]
            precision = self._facts["precision"].get(recipe.precision, recipe.precision)
            recipe = recipe.model_copy(update={"precision": precision})
        data_dir = execution.data_dir or os.environ.get("LEVELFIELD_DATA")
        execution = execution.model_copy(
            update={
                "threads": execution.threads or self.resources.cpus,
                "device": "cpu" if device == "cpu" else execution.device,
                "data_dir": None if data_dir is None else str(Path(data_dir).expanduser().absolute()),
            }
        )
        return resolve(spec.model_copy(update={"execution": execution, "recipe": recipe}), torch.device(device))

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
            self._sent[self._task.remote(parcel, [self._put(parcel.start)], self._board, name)] = sent
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
        for mark in self._marks:
            mark.unlink(missing_ok=True)
        self._leave()

    def _leave(self) -> None:
        if self._joined:
            self._ray.shutdown()

    def _pending(self) -> dict[Any, _Sent]:
        with self._changing:
            return dict(self._sent)

    def _put(self, file: str | None) -> Any:
        """The content of a file of weights in Ray's object store, once for all runs that start from it."""
        if file is not None and file not in self._weights:
            self._weights[file] = self._ray.put(Path(file).read_bytes())
        return self._weights.get(file or "")

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


class _Board:
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


def _carry_out(parcel: Parcel, weights: list[Any], board: Any, name: str) -> Outcome:
    """The task: on a node. `weights` is inside a list so that Ray does not fetch it before it is asked for."""
    import ray

    ended = threading.Event()

    def stop_when_asked() -> None:
        # Ray's own cancelling interrupts again and again: the second time would cut the checkpoint.
        with suppress(ray.exceptions.RayError):
            while not ended.wait(LOOK_S):
                if ray.get(board.stopping.remote()):
                    _thread.interrupt_main()
                    return

    def fetch() -> bytes:
        content: bytes = ray.get(weights[0])
        return content

    node = f"node {socket.gethostname()} ({ray.get_runtime_context().get_node_id()[:6]})"
    with suppress(ray.exceptions.RayActorError):  # a run can do without the board
        if not ray.get(board.begin.remote(name, node)):
            return Outcome(0.0, STOPPED)
    threading.Thread(target=stop_when_asked, daemon=True).start()
    try:
        return carry_out(parcel, fetch)
    finally:
        ended.set()


def _describe(gpu: bool) -> dict[str, Any]:
    """The task that says what a node offers to a run, with a GPU or without."""
    from levelfield.training.device import choose_device
    from levelfield.training.precision import choose_precision

    device = choose_device("auto" if gpu else "cpu")
    return {
        "science_version": SCIENCE_VERSION,
        "device": device.type,
        "precision": {wanted: choose_precision(wanted, device) for wanted in ("auto", "bf16_if_native")},
    }


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ModuleNotFoundError:
        raise UserError("--on ray needs Ray: pip install 'levelfield[ray]', here and on the cluster's nodes") from None
    return ray


def _join(ray: Any, address: str | None) -> bool:
    """Connect to a cluster; True where that was done here, so that leaving it is due here too."""
    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        try:
            ray.init(address="auto", **options)
        except ConnectionError:
            ray.init(include_dashboard=False, **options)
        return True
    _check_reachable(address)
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"the Ray cluster at {address} cannot be joined: {reason}") from None
    return True


def _check_reachable(address: str) -> None:
    """Ray itself waits for minutes where nothing answers."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--address {address!r} is not HOST:PORT; `ray start --head` prints it, e.g. 10.0.0.7:6379")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"no Ray cluster answers at {address}: {reason}\nstart one there with `ray start --head`, or open its port"
        ) from None


def _here(ray: Any) -> Any:
    """Where the study itself is: an actor there lives as long as the study."""
    node = ray.get_runtime_context().get_node_id()
    return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)


def _resources(nodes: list[Mapping[str, float]], cpus: int | None, gpus: float | None) -> Resources:
    """What a run takes, from what is asked for and what the nodes have."""
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= 1]
    if gpus is None:
        gpus = 1.0 if with_gpus else 0.0
    if cpus is None:
        if gpus:
            cpus = min((int(node.get("CPU", 1) * min(1.0, gpus / node["GPU"])) for node in with_gpus), default=1)
        else:
            cpus = min([CPUS, *(int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1)])
    wanted = Resources(max(1, cpus), gpus)
    if not any(_fitting(node, wanted) for node in nodes):
        largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)))
        has = Resources(int(largest.get("CPU", 0)), largest.get("GPU", 0))
        raise UserError(
            f"no node of the Ray cluster has {wanted} for a run; the largest has {has}\n"
            "say what a run may take with --cpus-per-run and --gpus-per-run"
        )
    return wanted


def _fitting(node: Mapping[str, float], wanted: Resources) -> int:
    """How many runs fit on a node."""
    return int(min(node.get(kind, 0) / each for kind, each in (("CPU", wanted.cpus), ("GPU", wanted.gpus)) if each))
