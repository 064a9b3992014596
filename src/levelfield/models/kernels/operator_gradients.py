"""How an operator of torch's gets its gradients from a second one, and the shapes of these without arithmetic."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def differentiate_by(forward: Any, backward: Any) -> None:
    """Let `backward(*tensors, grad, *numbers)` give the gradients of the operator `forward(*tensors, *numbers)`.

    They are of the tensors, in their shapes and layouts. There is no second derivative.
    """

    def set_up(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.numbers = [value for value in inputs if not isinstance(value, Tensor)]
        ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))

    def gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        found = backward(*ctx.saved_tensors, grad, *ctx.numbers)
        return (*([found] if isinstance(found, Tensor) else found), *(None for _ in ctx.numbers))

    def shapes(*inputs: Any) -> Tensor | tuple[Tensor, ...]:
        *tensors, _ = (value for value in inputs if isinstance(value, Tensor))
        empty = tuple(torch.empty_like(tensor) for tensor in tensors)
        return empty if len(empty) > 1 else empty[0]

    forward.register_autograd(gradients, setup_context=set_up)
    backward.register_fake(shapes)
