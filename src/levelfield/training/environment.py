"""What a number was measured with: package versions, commit, processor, GPU, threads, machine; and where before."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from levelfield.native.libraries import variant_in_use
from levelfield.system.machine import machine_digest, processor_name


def describe_environment(device: torch.device) -> dict[str, Any]:
    """What a number was measured with: package versions, git commit, processor, threads."""
    from importlib import metadata

    names = ("levelfield", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pyarrow", "pillow")
    versions = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    environment: dict[str, Any] = {
        "python": platform.python_version(),
        "packages": versions,
        "git_commit": _git_commit(),
        "os": platform.platform(),
        "device": str(device),
        "machine": machine_digest(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cpu":
        environment["cpp_loops"] = variant_in_use()
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        environment["gpu"] = properties.name
        environment["gpu_memory_mib"] = properties.total_memory // 2**20
        environment["cuda"] = torch.version.cuda
    return environment


def with_earlier(environment: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """`environment` with what a run had been started in `before`, where that was another."""
    earlier = list(before.get("earlier", ()))
    last = {key: value for key, value in before.items() if key != "earlier"}
    if last and last != environment and last not in earlier:
        earlier.append(last)
    return {**environment, "earlier": earlier} if earlier else environment


def _git_commit() -> str | None:
    """The commit of the checkout that this package runs from; None where it is installed."""
    head = Path(__file__).resolve().parents[3] / ".git" / "HEAD"
    if not head.is_file():
        return None
    text = head.read_text(encoding="utf-8").strip()
    if not text.startswith("ref: "):
        return text
    reference = head.parent / text.removeprefix("ref: ")
    return reference.read_text(encoding="utf-8").strip() if reference.is_file() else None
