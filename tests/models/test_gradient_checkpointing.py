"""Gradient checkpointing: less is kept, and nothing else is different, for every network that there is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from levelfield.errors import UserError
from levelfield.models import accepts, checkpoint_gradients, create_model, list_models, model_info, on_meta
from levelfield.models.network_parts import blocks

REGISTRY = [name for name in list_models() if model_info(name).plugin is None]
TIMM = ["dla46x_c", "test_byobnet", "efficientvit_m0", "edgenext_xx_small", "ghostnet_050", "densenet121", "levit_128s"]


def kinds() -> list[str]:
    """Of the networks made of the same classes of modules, the smallest."""
    smallest: dict[frozenset[type], tuple[int, str]] = {}
    for name in REGISTRY:
        model = on_meta(name, 5, 32)
        size = sum(parameter.numel() for parameter in model.parameters())
        kind = frozenset(type(module) for module in model.modules())
        smallest[kind] = min(smallest.get(kind, (size, name)), (size, name))
    return [name for _, name in smallest.values()]


def build(name: str) -> tuple[nn.Module, int]:
    """(the network, with chance in it where it has any, the side of its images in px)."""
    torch.manual_seed(0)
    if name in TIMM:
        return timm.create_model(name, num_classes=5), 224 if name in ("efficientvit_m0", "levit_128s") else 64
    rates = {"drop_path": 0.3, "dropout": 0.2}
    return create_model(name, 5, 32, **{key: rate for key, rate in rates.items() if accepts(name, key)}), 32


def after_a_step(model: nn.Module, side: int) -> tuple[dict[str, Tensor], int]:
    """(weights and buffers after one step of training, the bytes that autograd kept between forward and backward)."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = model.train()(x)
        logits = logits[0] if isinstance(logits, tuple) else logits
        loss = F.cross_entropy(logits, torch.tensor([0, 1]))
    loss.backward()
    optimizer.step()
    state = {key: value.clone() for key, value in model.state_dict().items()} | {"loss": loss.detach()}
    state["next draw"] = torch.rand(1)
    return state, sum(size for at, size in kept.items() if at not in parameters)


def recomputes(block: nn.Module) -> bool:
    return hasattr(type(block), "_recomputes")


@pytest.mark.parametrize("name", [*kinds(), *TIMM])
def test_weights_buffers_and_chance_are_those_of_training_without_it_to_the_bit(name: str) -> None:
    model, side = build(name)
    other = copy.deepcopy(model)
    checkpoint_gradients(other)
    assert list(other.state_dict()) == list(model.state_dict())
    plain, plain_bytes = after_a_step(model, side)
    recomputed, bytes_kept = after_a_step(other, side)
    assert [key for key in plain if not torch.equal(plain[key], recomputed[key])] == []
    assert all(int(value) == 1 for key, value in recomputed.items() if key.endswith("num_batches_tracked"))
    assert bytes_kept < 0.5 * plain_bytes


@pytest.mark.parametrize("name", REGISTRY)
def test_every_network_of_the_registry_has_blocks_that_hold_most_of_it(name: str) -> None:
    model = on_meta(name, 100, 32)
    found = blocks(model)
    inside = sum(parameter.numel() for block in found.values() for parameter in block.parameters())
    assert len(found) >= 3
    assert inside > 0.75 * sum(parameter.numel() for parameter in model.parameters())
    assert all(model.get_submodule(key) is block for key, block in found.items())
    assert not any(key.startswith(f"{other}.") for key in found for other in found)
    model.set_grad_checkpointing(True)  # type: ignore[operator]
    checkpoint_gradients(model)
    assert all(recomputes(block) for block in found.values())
    assert all(
        type(module) is type(twin) for module, twin in zip(model.modules(), copy.deepcopy(model).modules(), strict=True)
    )
    checkpoint_gradients(model, enable=False)
    assert not any(recomputes(module) for module in model.modules())


class Power(nn.Module):
    """A block whose forward reads state that its forward moves: a weight normalised by power iteration."""

    def __init__(self) -> None:
        super().__init__()
        self.first = spectral_norm(nn.Linear(8, 8))
        self.second = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.dropout(self.first(x).relu(), 0.5, self.training))


class Own(nn.Module):
    """A user's network, with torch's own checkpointing, which moves state twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(12, 8)
        self.body = nn.Sequential(Power(), Power(), Power())
        self.head = nn.Linear(8, 5)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        raise AssertionError("not asked")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.embed(x.flatten(1))))  # type: ignore[no-any-return]


def test_state_that_a_forward_pass_reads_and_moves_is_recomputed_from() -> None:
    torch.manual_seed(0)
    model = Own()
    other = copy.deepcopy(model)
    checkpoint_gradients(other)
    assert sum(recomputes(module) for module in other.modules()) == 3
    plain, _ = after_a_step(model, 2)
    recomputed, _ = after_a_step(other, 2)
    assert [key for key in plain if not torch.equal(plain[key], recomputed[key])] == []


def test_a_backward_pass_may_be_repeated() -> None:
    model = create_model("resnet_nano", 5, 16)
    checkpoint_gradients(model)
    loss = model(torch.randn(2, 3, 16, 16)).sum()
    first, second = (torch.autograd.grad(loss, list(model.parameters()), retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert int(model.state_dict()["stem.1.num_batches_tracked"]) == 1


def test_evaluation_and_forward_passes_without_gradients_compute_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import levelfield.models.gradient_checkpointing as module

    model = create_model("vit_mini", 5, 32)
    checkpoint_gradients(model)

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing to recompute")

    monkeypatch.setattr(module, "checkpoint", refused)
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        model.train()(x)
    model.eval()(x)


def test_compiled_it_moves_statistics_once_too() -> None:
    model = create_model("resnet_nano", 5, 16)
    other = copy.deepcopy(model)
    checkpoint_gradients(other)
    x = torch.randn(4, 3, 16, 16)
    model(x).square().sum().backward()
    torch.compile(other, backend="aot_eager", fullgraph=True)(x).square().sum().backward()
    for (key, value), got in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(got, value, msg=key)
    for (key, plain), recomputed in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(recomputed.grad, plain.grad, rtol=1e-4, atol=1e-4, msg=key)


def test_a_network_without_blocks_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    with pytest.raises(UserError, match=r"Sequential has no blocks.*\nleave execution.gradient_checkpointing off"):
        checkpoint_gradients(model)
