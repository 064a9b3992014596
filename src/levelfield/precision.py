"""How precisely a run computes: the name in its recipe, what becomes of it on a device, and the dtype of autocast."""

from __future__ import annotations

import platform
from functools import cache
from typing import Final, Literal

import torch

from levelfield.errors import UserError
from levelfield.system.machine import instruction_sets

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What the forward pass computes in by autocast; weights, the loss and what the optimiser holds stay float32."""


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """`auto`: fp16 on CUDA (bf16 where the device prefers it is asked for by name), fp32 elsewhere.

    `bf16_if_native`: bf16 on GPUs since Ampere and on CPUs with bf16 instructions, else fp32.
    """
    if wanted == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if wanted == "bf16_if_native":
        return "bf16" if multiplies_bf16(device) else "fp32"
    if wanted in ("bf16", "fp16") and device.type == "mps":
        raise UserError(f"precision {wanted} is not supported on Apple's MPS\nset recipe.precision to auto or fp32")
    if wanted == "fp16" and device.type == "cpu":
        raise UserError("precision fp16 needs a GPU: set recipe.precision to auto, bf16 or fp32 on a CPU")
    assert wanted in ("fp32", "bf16", "fp16")
    return wanted  # type: ignore[return-value]


def multiplies_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bf16 matrices natively: such a CPU, a CUDA GPU since Ampere (8.0). Not on MPS.

    Elsewhere torch emulates it: on a CPU with AVX2 at 2 GFLOP/s, where float32 has 80.
    """
    if device.type == "cuda":
        return _gpu_multiplies_bf16(torch.cuda.current_device() if device.index is None else device.index)
    return device.type == "cpu" and cpu_has_bf16()


@cache
def _gpu_multiplies_bf16(index: int) -> bool:
    with torch.cuda.device(index):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 natively (AVX512_BF16, AMX or Arm's BF16); emulation is slower than fp32."""
    if platform.machine() in ("x86_64", "AMD64"):
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return "bf16" in instruction_sets()
