"""Joining a Ray cluster: finding it, and how much of its nodes a run takes."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from levelfield.errors import UserError

CPUS: Final = 4
"""CPUs of a run where the cluster has no GPUs and nothing else is asked for."""
CONNECT_S: Final = 5.0


@dataclass(frozen=True)
class Resources:
    """What one run takes of a node."""

    cpus: int
    gpus: float

    def __str__(self) -> str:
        return f"{self.cpus} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")


def import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ModuleNotFoundError:
        raise UserError("--on ray needs Ray: pip install 'levelfield[ray]', here and on the cluster's nodes") from None
    return ray


def join(ray: Any, address: str | None) -> bool:
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


def resources_of_a_run(nodes: list[Mapping[str, float]], cpus: int | None, gpus: float | None) -> Resources:
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
    if not any(runs_that_fit(node, wanted) for node in nodes):
        largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)))
        has = Resources(int(largest.get("CPU", 0)), largest.get("GPU", 0))
        raise UserError(
            f"no node of the Ray cluster has {wanted} for a run; the largest has {has}\n"
            "say what a run may take with --cpus-per-run and --gpus-per-run"
        )
    return wanted


def runs_that_fit(node: Mapping[str, float], wanted: Resources) -> int:
    """How many runs fit on a node."""
    return int(min(node.get(kind, 0) / each for kind, each in (("CPU", wanted.cpus), ("GPU", wanted.gpus)) if each))
