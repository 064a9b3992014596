"""OutGridViT: the order of its parts, its ablations, and reading both kinds of attention."""

from __future__ import annotations

import pytest
import torch

from levelfield.errors import UserError
from levelfield.models import create_model, on_meta
from levelfield.models.capture_attention import capture_attention
from levelfield.models.families.outgrid import GridAttention, OutGridViT, OutlookAttention


def test_modules_are_registered_in_the_published_order() -> None:
    model = on_meta("outgrid_7m")
    assert [name for name, child in model.named_children() if list(child.parameters())] == [
        "stem", "widen", "levels", "downsamples", "norm", "head",
    ]  # fmt: skip
    outlook = next(module for module in model.modules() if isinstance(module, OutlookAttention))
    assert [name for name, _ in outlook.named_children()] == ["logits", "values", "projection"]


def test_stochastic_depth_grows_linearly_to_its_maximum() -> None:
    model = on_meta("outgrid_7m", drop_path=0.3)
    rates = [block.grid.drop_path.rate for level in model.levels for block in level]  # type: ignore[union-attr]
    assert rates == pytest.approx([0.3 * i / 6 for i in range(7)])
    assert on_meta("outgrid_22m").levels[-1][-1].grid.drop_path.rate == pytest.approx(0.11)  # type: ignore[index,union-attr]


@pytest.mark.parametrize("part", ["outlook", "mbconv", "grid"])
def test_each_part_can_be_switched_off(part: str) -> None:
    without = on_meta(f"outgrid_14m_no_{part}")
    kinds = {type(module).__name__ for module in without.modules()}
    gone = {"outlook": "OutlookAttention", "mbconv": "MBConv", "grid": "GridAttention"}
    assert gone[part] not in kinds
    assert {name for key, name in gone.items() if key != part} <= kinds


def test_grid_attention_mixes_only_tokens_of_the_same_residue() -> None:
    torch.manual_seed(0)
    attention = GridAttention(8, heads=2, grid=2)
    x = torch.randn(1, 6, 4, 8, requires_grad=True)
    attention(x)[0, 3, 1].sum().backward()
    assert x.grad is not None
    touched = x.grad[0].abs().sum(-1) > 0
    expected = torch.zeros(6, 4, dtype=torch.bool)
    expected[1::2, 1::2] = True
    assert torch.equal(touched, expected)


def test_captured_weights_are_those_that_the_forward_pass_uses() -> None:
    torch.manual_seed(0)
    model = create_model("outgrid_nano", 10, 32).eval()
    assert isinstance(model, OutGridViT)
    images = torch.randn(2, 3, 32, 32)
    inputs: dict[str, torch.Tensor] = {}
    outputs: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, GridAttention):
            module.register_forward_hook(
                lambda m, i, o, name=name: (inputs.update({name: i[0]}), outputs.update({name: o}), None)[-1]
            )
    with torch.no_grad():
        plain = model(images)
        with capture_attention(model) as captured:
            assert torch.equal(model(images), plain)
    kinds = [module for module in model.modules() if isinstance(module, (GridAttention, OutlookAttention))]
    assert len(captured) == len(kinds) == 6
    for name, weights in captured.items():
        module = model.get_submodule(name)
        axis = 2 if isinstance(module, OutlookAttention) else -1
        torch.testing.assert_close(weights.sum(axis), torch.ones_like(weights.sum(axis)))
        if isinstance(module, GridAttention):  # rebuild the output token by token from the stated places
            x, g, heads = inputs[name], module.grid, module.heads
            B, H, W, C = x.shape
            values = module.qkv(x)[..., 2 * C :].reshape(B, H, W, heads, C // heads)
            rebuilt = torch.zeros(B, H, W, heads, C // heads)
            places = [divmod(n, W // g) for n in range((H // g) * (W // g))]
            for row in range(g):
                for column in range(g):
                    group = torch.stack([values[:, r * g + row, c * g + column] for r, c in places], dim=2)
                    mixed = weights[:, row, column] @ group
                    for n, (r, c) in enumerate(places):
                        rebuilt[:, r * g + row, c * g + column] = mixed[:, :, n]
            torch.testing.assert_close(module.projection(rebuilt.reshape(B, H, W, C)), outputs[name])


def test_a_map_that_the_grid_does_not_divide_is_refused() -> None:
    model = create_model("outgrid_nano", 10, 32)
    with pytest.raises(UserError, match="use another image_size"):
        model(torch.zeros(1, 3, 18, 18))
