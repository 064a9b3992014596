"""What a number was measured with: package versions, commit, source, processor, GPU, machine; and where before."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import torch

from levelfield.native.libraries import variant_in_use
from levelfield.precision import cpu_has_bf16
from levelfield.system.machine import machine_digest, processor_name, usable_cores
from levelfield.system.source_digest import source_digest

SHORT_DIGEST: Final = 16
"""Characters of the digest of the package's files that an environment keeps."""


def describe_environment(device: torch.device) -> dict[str, Any]:
    """What a number was measured with: package versions, git commit, digest of the source, processor, threads."""
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
        "source": source_digest()[:SHORT_DIGEST],
        "os": platform.platform(),
        "device": str(device),
        "machine": machine_digest(),
        "processor": processor_name(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cpu":
        environment["cpp_loops"] = variant_in_use()
        environment["bf16"] = "native" if cpu_has_bf16() else "emulated"
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
    """The commit of the checkout or worktree that this package runs from; None where it is installed."""
    git = Path(__file__).resolve().parents[3] / ".git"
    try:
        if git.is_file():  # a worktree's, which says where its own lies
            git = (git.parent / git.read_text(encoding="utf-8").strip().removeprefix("gitdir: ")).resolve()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    if not head.startswith("ref: "):
        return head
    reference = head.removeprefix("ref: ")
    shared = git / "commondir"  # a worktree's branches are those of the repository
    common = (git / shared.read_text(encoding="utf-8").strip()).resolve() if shared.is_file() else git
    loose = common / reference
    if loose.is_file():
        return loose.read_text(encoding="utf-8").strip()
    packed = common / "packed-refs"
    lines = packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {reference}")), None)
