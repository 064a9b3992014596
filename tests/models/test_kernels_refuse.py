"""What torch refuses, the C++ forms leave to torch to refuse; and factors of another precision have their gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from levelfield import native
from levelfield.models.kernels.channel_gate import PooledGate
from levelfield.models.kernels.max_pool import max_pool_2x2
from levelfield.models.kernels.norm_silu import norm_activation, norm_silu, norm_silu_gate
from levelfield.models.layers import TokenNorm

BUILT = native.library() is not None
pytestmark = pytest.mark.skipif(not BUILT, reason="the C++ loops are not built: `make setup` builds them")


class Halved(PooledGate):
    """A gate of its own whose factors are float32 whatever the map is."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 32, 1, 1))

    def gates(self, pooled: Tensor) -> Tensor:
        return (pooled * self.scale).sigmoid()


def refused_map(dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.randn(*shape).to(dtype)


REFUSED: dict[str, Callable[[Callable[..., Tensor]], Tensor]] = {
    "a norm of more channels": lambda of: norm_silu(of(4, 32, 3, 3), nn.BatchNorm2d(64), nn.SiLU()),
    "a norm of fewer channels": lambda of: norm_silu(of(4, 32, 3, 3), nn.BatchNorm2d(16), nn.SiLU()),
    "a gate's norm": lambda of: norm_silu_gate(of(4, 32, 3, 3), nn.BatchNorm2d(64), nn.SiLU(), Halved()),
    "one value a channel": lambda of: norm_activation(of(1, 8, 1, 1), nn.BatchNorm2d(8)),
    "a LayerNorm of more": lambda of: TokenNorm(64)(of(4, 32)),
    "a LayerNorm of fewer": lambda of: TokenNorm(16)(of(4, 32)),
    "a map of one row": lambda of: max_pool_2x2(of(1, 8, 1, 4)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_refuses_is_refused(name: str, dtype: torch.dtype) -> None:
    lowered = torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16)
    with pytest.raises((RuntimeError, ValueError)), lowered:
        REFUSED[name](partial(refused_map, dtype))


def test_float32_gates_have_their_gradients_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    def gradient() -> Tensor:
        torch.manual_seed(0)
        norm, gate, x = nn.BatchNorm2d(32), Halved(), torch.randn(4, 32, 5, 5).bfloat16().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            norm_silu_gate(x, norm, nn.SiLU(), gate).float().square().sum().backward()
        assert gate.scale.grad is not None
        return gate.scale.grad

    fast = gradient()
    monkeypatch.setattr(native, "library", lambda: None)
    torch.testing.assert_close(fast, gradient(), rtol=0.05, atol=0.02)
