"""Grid attention's Triton kernels in Triton's interpreter, which needs no GPU, against the plain form in float64."""

from __future__ import annotations

from typing import Any

import pytest
from in_triton_interpreter import TOLERANCES, check_errors, check_soundness, report_of

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
    return report_of(SCRIPT)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_equals_the_plain_form_in_every_shape_and_layout(report: Any, dtype: str, tolerance: float) -> None:
    check_errors(report, dtype, tolerance)


def test_gradients_and_registration_are_sound(report: Any) -> None:
    check_soundness(report)
