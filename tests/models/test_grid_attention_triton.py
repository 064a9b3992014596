"""Grid attention's Triton kernels in Triton's interpreter, which needs no GPU, against the plain form in float64."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest

SCRIPT = """
import itertools, json, torch
from levelfield.models.kernels.grid_attention import grid_attention_plain
from levelfield.models.kernels.grid_attention_triton import grid_attention

def relative(got, expected):
    return float((got.detach().double() - expected.detach()).norm() / expected.detach().norm())

torch.manual_seed(0)
errors = {}
shapes = [(1, 8, 4, 24, 4), (2, 4, 6, 32, 2), (1, 4, 2, 20, 1), (1, 4, 4, 32, 4)]
for (B, H, W, d, grid), dtype, layout in itertools.product(
    shapes, ("float32", "float16", "bfloat16"), ("contiguous", "strided")
):
    if layout == "strided" and dtype != "float32":
        continue
    qkv = torch.randn(B, H, W, 3 * 2 * d).to(getattr(torch, dtype))
    if layout == "strided":
        qkv = qkv.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    exact = qkv.double().requires_grad_()
    qkv.requires_grad_()
    y, expected = grid_attention(qkv, 2, grid), grid_attention_plain(exact, 2, grid)
    grad = torch.randn_like(y)
    mine, = torch.autograd.grad(y, qkv, grad)
    theirs, = torch.autograd.grad(expected, exact, grad.double())
    errors[f"{(B, H, W, d, grid)} {dtype} {layout}"] = [
        relative(y, expected), relative(mine, theirs), y.dtype is qkv.dtype and mine.stride() == qkv.stride()
    ]
leaf = torch.randn(1, 2, 4, 12, dtype=torch.float64, requires_grad=True)
checked = torch.autograd.gradcheck(lambda qkv: grid_attention(qkv, 2, 2), (leaf,))
single = torch.randn(1, 4, 4, 12, requires_grad=True)
registered = torch.library.opcheck(grid_attention, (single, 2, 2))
print(json.dumps({"errors": errors, "gradcheck": checked, "opcheck": registered}))
"""


@pytest.fixture(scope="module")
def report() -> Any:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed (it comes with torch's CUDA builds)")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 1e-3), ("bfloat16", 8e-3)])
def test_equals_the_plain_form_in_every_shape_and_layout(report: Any, dtype: str, tolerance: float) -> None:
    found = {name: values for name, values in report["errors"].items() if f" {dtype} " in name}
    assert len(found) == (8 if dtype == "float32" else 4)
    for name, (*errors, kept) in found.items():
        assert max(errors) < tolerance, name
        assert kept, name


def test_gradients_and_registration_are_sound(report: Any) -> None:
    assert report["gradcheck"] is True
    assert set(report["opcheck"].values()) == {"SUCCESS"}
