"""Operators that work on nothing: found in every registered network at its published size, and in planted ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.models import create_model, explain, list_models, model_info, on_meta
from levelfield.models.idle_operators import BEYOND, ONE_KEY, ONE_VALUE, degenerate_operators, in_words

KNOWN = {"maxvit_tiny_s1": 22, "maxvit_nano_s1": 22, "swin_tiny_p2w4": 2}
"""Published rows that stay as they were published: each has a note that says so, and a sister built right."""
NAMES = [name for name in list_models() if model_info(name).plugin is None]


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_of_a_registered_network_has_something_to_work_on(name: str) -> None:
    info = model_info(name)
    found = degenerate_operators(on_meta(name), info.image_size)
    assert len(found) == KNOWN.get(name, 0), in_words(found)
    if found:
        assert {each.what for each in found} == {ONE_KEY}
        assert "one key" in info.note and any(other in info.note for other in NAMES if other != name)


class Planted(nn.Module):
    def __init__(self, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.call = call
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.norm = nn.LayerNorm(1)
        self.group = nn.GroupNorm(4, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self, x)


def q(x: Tensor) -> Tensor:
    return torch.zeros(1, 2, 5, 4) + x.mean()


@pytest.mark.parametrize(
    ("call", "place", "what"),
    [
        (lambda m, x: m.conv(x[..., :1, :1]), "conv", BEYOND),
        (lambda m, x: m.pool(x[..., :1, :1]), "pool", BEYOND),
        (lambda m, x: F.max_pool2d(x[..., :1, :1], 2, ceil_mode=True), "", BEYOND),
        (lambda m, x: F.avg_pool2d(x[..., :1, :1], kernel_size=3, stride=2, padding=1), "", BEYOND),
        (lambda m, x: F.scaled_dot_product_attention(q(x), q(x)[:, :, :1], q(x)[:, :, :1]), "", ONE_KEY),
        (lambda m, x: (q(x) @ q(x)[:, :, :1].mT).softmax(-1), "", ONE_KEY),
        (lambda m, x: torch.softmax(q(x)[..., :1], dim=-1), "", ONE_KEY),
        (lambda m, x: m.norm(x.mean((1, 2, 3))[:, None]), "norm", ONE_VALUE),
        (lambda m, x: m.group(m.conv(x).mean((2, 3), keepdim=True)), "group", ONE_VALUE),
    ],
)  # fmt: skip
def test_a_planted_one_is_found_and_named(call: Callable[[nn.Module, Tensor], Tensor], place: str, what: str) -> None:
    found = degenerate_operators(Planted(call), 8)
    assert [(each.place, each.what) for each in found] == [(place, what)]


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m.pool(m.conv(x)),
        lambda m, x: F.conv2d(x[..., :1, :1], torch.ones(4, 3, 1, 1)),
        lambda m, x: m.group(m.conv(x)),
        lambda m, x: F.scaled_dot_product_attention(q(x), q(x), q(x)),
        lambda m, x: F.layer_norm(x, x.shape[1:]),
        lambda m, x: F.adaptive_avg_pool2d(x, 1),
    ],
)
def test_a_sound_one_is_not(call: Callable[[nn.Module, Tensor], Tensor]) -> None:
    assert degenerate_operators(Planted(call), 8) == []


def test_compiled_forms_do_not_hide_their_attention() -> None:
    """One token a group at a grid of the map's side: the compiled form would call no function that can be seen."""
    assert degenerate_operators(create_model("outgrid_nano", 10, 32), 32) == []
    found = degenerate_operators(create_model("outgrid_nano", 10, 8), 8)
    assert [each.place for each in found] == ["levels.1.0.grid.attention", "levels.2.0.grid.attention"]


def test_the_explanation_says_so() -> None:
    told = explain("maxvit_nano_s1")
    assert len(told.degenerate) == 22 and "maxvit_nano_s1w2" in told.note
    assert told.as_dict()["degenerate"][0]["what"] == ONE_KEY
    assert explain("maxvit_nano_s1w2").degenerate == () and "2x2" in explain("maxvit_nano_s1w2").note
