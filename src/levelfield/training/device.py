"""Where a run computes: its device, and torch's switches for it (threads, determinism, TensorFloat-32)."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import torch

from levelfield.errors import UserError
from levelfield.float32 import set_tf32
from levelfield.memory_allocator import keep_freed_memory
from levelfield.spec import Execution
from levelfield.training.determinism import use_deterministic_algorithms

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


def check_step_graph(execution: Execution, device: torch.device) -> None:
    """Raise UserError where a step is to be captured as a CUDA graph and the device is none of CUDA's."""
    if execution.step_graph and device.type != "cuda":
        raise UserError(
            f"execution.step_graph=true captures a step as one CUDA graph, and this run is on {device.type}\n"
            "leave it out, or give --device cuda on a machine with a GPU"
        )


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
    for name, given in (("cuda_graphs", execution.cuda_graphs), ("micro_batch", execution.micro_batch is not None)):
        if execution.step_graph and given:
            raise UserError(
                f"execution.step_graph=true captures a step as one graph: execution.{name} does not go with it\n"
                f"leave execution.{name} out"
            )


def configure_torch(execution: Execution, device: torch.device, tf32: bool) -> None:
    """Set torch's global switches for one run. On the CPU determinism is the default: it costs nothing there."""
    if execution.threads is not None:
        torch.set_num_threads(execution.threads)
    if device.type == "cpu":
        keep_freed_memory()
    set_tf32(tf32)
    deterministic = execution.deterministic if execution.deterministic is not None else device.type == "cpu"
    compiles = execution.compile or execution.cuda_graphs
    use_deterministic_algorithms(deterministic, warn_only=execution.deterministic is None, compiles=compiles)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
