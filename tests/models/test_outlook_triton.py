"""The Triton kernels in Triton's interpreter, which needs no GPU, against the operator's plain form in float64."""

from __future__ import annotations

from typing import Any

import pytest
from in_triton_interpreter import TOLERANCES, check_errors, check_soundness, report_of

SCRIPT = """
import itertools, json, torch
from levelfield.models.kernels.outlook import outlook_plain
from levelfield.models.kernels.outlook_triton import WIDTHS, outlook

def relative(got, expected):
    return float((got.detach().double() - expected.detach()).norm() / expected.detach().norm())

torch.manual_seed(0)
errors = {}
for width, dtype, layout in itertools.product(WIDTHS, ("float32", "float16", "bfloat16"), ("strided", "channels_last")):
    if layout == "strided" and dtype != "float32":
        continue
    kind = getattr(torch, dtype)
    logits, values = torch.randn(2, 18, 3, 7), torch.randn(2, 2 * width, 3, 7)
    if layout == "channels_last":
        logits, values = (x.contiguous(memory_format=torch.channels_last) for x in (logits, values))
    logits, values = logits.to(kind).requires_grad_(), values.to(kind).requires_grad_()
    a, v = logits.detach().double().requires_grad_(), values.detach().double().requires_grad_()
    y, expected = outlook(logits, values, 2), outlook_plain(a, v, 2)
    grad = torch.randn_like(y)
    mine = torch.autograd.grad(y, (logits, values), grad)
    theirs = torch.autograd.grad(expected, (a, v), grad.double())
    same_layout = y.stride() == values.stride() and mine[1].stride() == values.stride()
    errors[f"{width} {dtype} {layout}"] = [relative(y, expected), *map(relative, mine, theirs), same_layout]

inputs = [torch.randn(1, 9, 2, 3, dtype=torch.float64), torch.randn(1, 2, 2, 3, dtype=torch.float64)]
leaves = tuple(x.requires_grad_() for x in inputs)
checked = torch.autograd.gradcheck(lambda a, v: outlook(a, v, 1), leaves)
single = tuple(x.detach().float().requires_grad_() for x in leaves)
print(json.dumps({"errors": errors, "gradcheck": checked, "opcheck": torch.library.opcheck(outlook, (*single, 1))}))
"""


@pytest.fixture(scope="module")
def report() -> Any:
    return report_of(SCRIPT)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_equals_the_plain_form_in_every_width_and_layout(report: Any, dtype: str, tolerance: float) -> None:
    check_errors(report, dtype, tolerance)


def test_gradients_and_registration_are_sound(report: Any) -> None:
    check_soundness(report)
