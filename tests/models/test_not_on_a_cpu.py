"""Networks where no CPU computes them: no operator is asked for that only CPUs have. No GPU is needed to find out.

A map on torch's `meta` device is not on a CPU, and has no values: what would be dispatched to it is all that is seen.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from levelfield import native
from levelfield.models import list_models, model_info, on_meta

FAMILIES = sorted({model_info(name).family: name for name in list_models()}.values())
"""A model of each family."""


class Namespaces(TorchDispatchMode):
    """The operators that do not belong to torch's own library for every device."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace not in {"aten", "prim", "prims"}:
            self.foreign.add(func._schema.name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_only_what_every_device_has_is_asked_for(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "unobserved", lambda _: True)  # who counts operators is no reason to leave one out
    network = on_meta(name).to(dtype)
    images = torch.empty(2, 3, *[model_info(name).image_size] * 2, dtype=dtype, device="meta")
    for layout in (torch.contiguous_format, torch.channels_last):
        with Namespaces() as seen:
            network.train()(images.contiguous(memory_format=layout)).sum().backward()
            with torch.no_grad():
                network.eval()(images.contiguous(memory_format=layout))
        assert not seen.foreign


def test_a_worker_asks_no_driver_before_it_forks() -> None:
    """A process that has asked CUDA's driver cannot hand the GPU to those that it forks."""
    code = """
import importlib, torch
asked = []
for name in ("is_available", "device_count", "init", "_lazy_init"):
    setattr(torch.cuda, name, lambda *_, name=name, **__: asked.append(name))
from levelfield.studies.running.warm_worker import IMPORTED
for name in IMPORTED:
    importlib.import_module(name)
import levelfield.models.kernels.grid_attention, levelfield.models.kernels.outlook
print(asked)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
