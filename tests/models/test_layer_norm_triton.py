"""LayerNorm's Triton kernels in Triton's interpreter, which needs no GPU, against torch's own in float64."""

from __future__ import annotations

from typing import Any

import pytest
from in_triton_interpreter import TOLERANCES, check_errors, check_soundness, report_of

SCRIPT = """
import itertools, json, torch
import torch.nn.functional as F
from levelfield.models.kernels import layer_norm_triton
from levelfield.models.kernels.layer_norm_triton import layer_norm

layer_norm_triton.PROGRAMS = 2  # so that a program has several blocks of rows

def relative(got, expected):
    return float((got.detach().double() - expected.detach()).norm() / expected.detach().norm())

torch.manual_seed(0)
errors = {}
shapes = [(2, 5, 7, 48), (1, 1, 1, 96), (3, 4, 4, 33), (2, 3, 3, 640)]
for shape, dtype, layout in itertools.product(
    shapes, ("float32", "float16", "bfloat16"), ("contiguous", "strided")
):
    if layout == "strided" and dtype != "float32":
        continue
    x = (torch.randn(shape) * 3 + 1).to(getattr(torch, dtype))
    if layout == "strided":
        x = x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    weight, bias = torch.randn(shape[-1]), torch.randn(shape[-1])
    exact = [each.double().requires_grad_() for each in (x, weight, bias)]
    mine = [each.requires_grad_() for each in (x, weight, bias)]
    y, expected = layer_norm(*mine, 1e-6), F.layer_norm(exact[0], exact[1].shape, *exact[1:], 1e-6)
    grad = torch.randn_like(y)
    got = torch.autograd.grad(y, mine, grad)
    wanted = torch.autograd.grad(expected, exact, grad.double())
    kept = all(a.dtype is b.dtype and a.stride() == b.stride() for a, b in zip(got, mine)) and y.dtype is x.dtype
    errors[f"{shape} {dtype} {layout}"] = [
        relative(y, expected), *(relative(a, b) for a, b in zip(got, wanted)), kept
    ]
leaves = [torch.randn(*size, dtype=torch.float64, requires_grad=True) for size in ((2, 3, 6), (6,), (6,))]
checked = torch.autograd.gradcheck(lambda *each: layer_norm(*each, 1e-5), leaves)
single = [torch.randn(*size, requires_grad=True) for size in ((2, 3, 8), (8,), (8,))]
registered = torch.library.opcheck(layer_norm, (*single, 1e-5))
print(json.dumps({"errors": errors, "gradcheck": checked, "opcheck": registered}))
"""


@pytest.fixture(scope="module")
def report() -> Any:
    return report_of(SCRIPT)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_equals_torchs_own_in_every_shape_and_layout(report: Any, dtype: str, tolerance: float) -> None:
    check_errors(report, dtype, tolerance)


def test_gradients_and_registration_are_sound(report: Any) -> None:
    check_soundness(report)
