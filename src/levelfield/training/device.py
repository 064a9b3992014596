"""Where a run computes and how precisely: device, precision, threads, determinism. Resolved before a run is named."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, Literal

import torch

from levelfield.allocator import keep_freed_memory
from levelfield.errors import UserError
from levelfield.float32 import set_tf32
from levelfield.spec import Execution

Precision = Literal["fp32", "bf16", "fp16"]

_PLACE: Final = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
"""torchrun's variables that place a process on its machine, with what holds without torchrun."""


def choose_device(name: str) -> torch.device:
    """`auto`: CUDA, then Apple's MPS, then the CPU. Under torchrun each process takes the GPU of its own number.

    A CUDA device always has its index. Raises UserError for a device that is not there or that processes would share.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"unknown device {name!r}: give auto, cpu, cuda, cuda:N or mps") from None
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    index: int | None = device.index
    if not available.get(device.type, False) or (
        index is not None and device.type == "cuda" and index >= torch.cuda.device_count()
    ):
        raise UserError(f"device {name!r} is not on this machine: give --device auto or cpu")
    return device if device.type != "cuda" else _own_gpu(index)


def _own_gpu(index: int | None) -> torch.device:
    """The GPU of this process: number `index`, or (None) the one of the process's own number on this machine."""
    number, together = (int(os.environ.get(key, default)) for key, default in _PLACE.items())
    if index is not None and together > 1:
        raise UserError(
            f"device 'cuda:{index}' would put {together} processes on one GPU\n"
            "give --device cuda: each process takes its own"
        )
    if index is None and number >= torch.cuda.device_count():
        raise UserError(
            f"{together} processes on this machine need as many GPUs, it shows {torch.cuda.device_count()}\n"
            f"start torchrun with --nproc-per-node {torch.cuda.device_count()}, or add --device cpu"
        )
    return torch.device("cuda", number if index is None else index)


def current_device(device: torch.device) -> AbstractContextManager[object]:
    """While it is entered, `device` is CUDA's current one, where Triton and NCCL work whatever a tensor's device is."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """`auto`: fp16 on CUDA (bf16 where the device prefers it is asked for by name), fp32 elsewhere.

    `bf16_if_native`: bf16 on CUDA and on CPUs with bf16 instructions, else fp32.
    """
    if wanted == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if wanted == "bf16_if_native":
        return "bf16" if device.type == "cuda" or (device.type == "cpu" and cpu_has_bf16()) else "fp32"
    if wanted == "fp16" and device.type == "cpu":
        raise UserError("precision fp16 needs a GPU: set recipe.precision to auto, bf16 or fp32 on a CPU")
    assert wanted in ("fp32", "bf16", "fp16")
    return wanted  # type: ignore[return-value]


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 natively (AVX512_BF16, AMX or Arm's BF16); emulation is slower than fp32."""
    if platform.machine() in ("x86_64", "AMD64"):
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and " bf16" in cpuinfo.read_text(encoding="utf-8", errors="replace")


def check_execution(execution: Execution) -> None:
    """Raise UserError for ways of carrying a run out that exclude one another.

    A step in parts adds up gradients over several backward passes. Under CUDA graphs `.grad` lies in memory that the
    next replay writes anew (pytorch issues 96693 and 169545): what was summed up there would be lost without a word.
    """
    if execution.cuda_graphs and execution.micro_batch is not None:
        raise UserError(
            f"execution.cuda_graphs=true and execution.micro_batch={execution.micro_batch} exclude one another: a "
            "replayed graph overwrites the gradients that a step in parts adds up\n"
            "set execution.compile=true instead of cuda_graphs, or leave micro_batch out"
        )


def configure_torch(execution: Execution, device: torch.device, tf32: bool) -> None:
    """Set torch's global switches for one run. On the CPU determinism is the default: it costs nothing there."""
    if execution.threads is not None:
        torch.set_num_threads(execution.threads)
    if device.type == "cpu":
        keep_freed_memory()
    set_tf32(tf32)
    deterministic = execution.deterministic if execution.deterministic is not None else device.type == "cpu"
    torch.use_deterministic_algorithms(deterministic, warn_only=execution.deterministic is None)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def describe_environment(device: torch.device) -> dict[str, Any]:
    """What a number was measured with: package versions, git commit, processor, threads."""
    from importlib import metadata

    names = ("levelfield", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pyarrow", "pillow")
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    environment: dict[str, Any] = {
        "python": platform.python_version(),
        "packages": versions,
        "git_commit": _git_commit(),
        "os": platform.platform(),
        "device": str(device),
        "machine": _machine(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
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


def _machine() -> str:
    """A short digest that tells this machine from another of the same kind, without naming it."""
    try:
        own = Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    except OSError:
        own = ""
    return hashlib.sha256(f"{platform.node()} {own}".encode()).hexdigest()[:8]


def processor_name() -> str:
    """The CPU's model name as the system states it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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
