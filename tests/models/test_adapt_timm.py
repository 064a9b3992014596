"""timm's models at small sizes: the rules' choices, and a seeded draw from the smallest model of every timm file."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from levelfield.errors import UserError
from levelfield.models import create_model, explain
from levelfield.models.adapt_timm.find_downsampling import trace
from levelfield.models.adapt_timm.timm_models import timm_file

SMALLEST = json.loads((Path(__file__).parent / "smallest_timm.json").read_text(encoding="utf-8"))
PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "timm-small-images.md").read_text(encoding="utf-8")
REFUSED = set(re.findall(r"^\| \S+ \| (\S+) \| (\d+) \|", PAGE, flags=re.MULTILINE))
ATTEMPTS = [(name, image_size) for name in SMALLEST.values() for image_size in (32, 64)]
SLOW = {"deepseek_vit_412m", "nasnetalarge", "pnasnet5large"}  # by benchmarks/adapt_all.py only
DRAWN = random.Random(20).sample([attempt for attempt in ATTEMPTS if attempt[0] not in SLOW], 16)


def _changes(name: str, image_size: int) -> list[str]:
    return [change.what for change in explain(f"timm:{name}", 10, image_size).changes]


@pytest.mark.parametrize(
    ("name", "image_size", "changes"),
    [
        ("resnet18", 32, ["conv1: stride 2 to 1", "maxpool: pool taken out"]),
        ("resnet18", 64, ["conv1: stride 2 to 1"]),
        ("resnet18", 224, []),
        ("efficientnet_b0", 32, ["conv_stem: stride 2 to 1"]),
        ("regnety_002", 32, ["stem.conv: stride 2 to 1"]),
        ("dla46x_c", 32, ["level1.0: stride 2 to 1"]),
        ("dla34", 32, ["level1.0: stride 2 to 1"]),
        ("rexnet_100", 32, ["stem.conv: stride 2 to 1"]),
        ("densenet121", 32, ["features.conv0: stride 2 to 1", "features.pool0: pool taken out"]),
        (
            "repvgg_a0",
            64,
            ["built for 128 px", "stem.conv_1x1.conv: stride 2 to 1", "stem.conv_kxk.conv: stride 2 to 1"],
        ),
        ("convnext_atto", 32, ["stem.0: patch 4 to 2"]),
        ("vit_tiny_patch16_224", 32, ["built for 128 px", "patch_embed.proj: patch 16 to 4"]),
        ("vit_tiny_patch16_224", 64, ["built for 128 px", "patch_embed.proj: patch 16 to 8"]),
    ],
)
def test_the_rules_choose_what_they_state(name: str, image_size: int, changes: list[str]) -> None:
    assert _changes(name, image_size) == changes


class Chain(nn.Module):
    """Two strided convolutions, and two more behind what `branch` does; names as in no library."""

    num_features = 8

    def __init__(self, branch: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.stages = nn.Conv2d(3, 8, 3, 2, 1)
        self.layer1 = nn.Conv2d(8, 8, 3, 2, 1)
        self.gate = nn.Conv2d(8, 8, 1)
        self.grouped = nn.Conv2d(8, 8, 3, 1, 1, groups=2)
        self.stem = nn.Conv2d(8, 8, 3, 2, 1)
        self.scale = nn.Parameter(torch.ones(1, 8, 1, 1))
        self.branch = branch

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.stem(self.branch(self, self.layer1(self.stages(torch.cat([x[:, :2], x[:, 2:]], 1)))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_features(x).mean((2, 3))


@pytest.mark.parametrize(
    ("branch", "levels"),
    [
        (lambda m, x: x, 3),
        (lambda m, x: m.scale * x + 1.0, 3),
        (lambda m, x: x + m.gate(x), 2),
        (lambda m, x: x * m.gate(x).sigmoid(), 2),
        (lambda m, x: torch.cat([x, m.gate(x)], 1)[:, :8], 2),
        (lambda m, x: m.grouped(x), 2),
    ],
)
def test_a_stem_ends_at_the_first_branch_whatever_its_modules_are_called(
    branch: Callable[[nn.Module, torch.Tensor], torch.Tensor], levels: int
) -> None:
    traced = trace(Chain(branch), 64)
    assert (len(traced.levels), traced.stem) == (3, levels)


def test_published_small_forms_come_out_of_the_rules() -> None:
    for ours, theirs in (("deit_tiny_p4", "deit_tiny_patch16_224"), ("efficientnet_b0_s1", "efficientnet_b0")):
        by_rule, published = create_model(f"timm:{theirs}", 10, 32), create_model(ours, 10, 32)
        shapes = [{key: value.shape for key, value in model.state_dict().items()} for model in (by_rule, published)]
        assert shapes[0] == shapes[1]


def test_adapt_none_leaves_the_model_as_timm_has_it() -> None:
    model = create_model("timm:resnet18", 10, 32, adapt="none")
    assert isinstance(model.maxpool, nn.MaxPool2d) and model.conv1.stride == (2, 2)


def test_fitting_leaves_the_random_stream_alone() -> None:
    torch.manual_seed(5)
    fitted = create_model("timm:resnet18", 10, 64)
    torch.manual_seed(5)
    plain = timm.create_model("resnet18", num_classes=10)
    assert torch.equal(fitted.fc.weight, plain.fc.weight)  # type: ignore[union-attr]


def test_every_timm_file_has_its_smallest_model() -> None:
    assert {timm_file(name) for name in SMALLEST.values()} == set(SMALLEST)
    assert set(SMALLEST) == {timm_file(name) for name in timm.list_models()}


def test_at_least_85_percent_adapt() -> None:
    assert len(REFUSED) <= 0.15 * len(ATTEMPTS)
    assert {(name, int(side)) for name, side in REFUSED} <= set(ATTEMPTS)


@pytest.mark.parametrize(("name", "image_size"), DRAWN)
def test_a_drawn_model_adapts_or_is_refused_as_the_page_says(name: str, image_size: int) -> None:
    torch.manual_seed(0)
    if (name, str(image_size)) in REFUSED:
        with pytest.raises(UserError, match=f"cannot be fitted to {image_size} px"):
            create_model(f"timm:{name}", 10, image_size)
        return
    model = create_model(f"timm:{name}", 10, image_size)
    images = torch.randn(2, 3, image_size, image_size)
    logits = model(images)
    logits = logits[0] if isinstance(logits, (tuple, list)) else logits
    assert logits.shape == (2, 10) and bool(logits.isfinite().all())
    logits.sum().backward()
    assert any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in model.parameters())
    assert trace(model, image_size).last_side >= 2


@pytest.mark.parametrize(
    ("name", "layer", "std", "bias"),
    [
        ("convnext_atto", "stem.0", 0.02, 0.0),  # truncated normal of 0.02 and no bias, whatever the kernel
        ("vit_tiny_patch16_224", "patch_embed.proj", None, None),
        ("mixer_s32_224", "stem.proj", None, None),
    ],
)
def test_a_resized_patch_begins_as_timm_begins_it(name: str, layer: str, std: float | None, bias: float | None) -> None:
    """With the spread that timm's scheme gives a kernel of this size: known, or from the native kernel by its fan."""
    torch.manual_seed(0)
    fitted = create_model(f"timm:{name}", num_classes=10, image_size=32).get_submodule(layer)
    after = torch.rand(1)
    native = timm.create_model(name, num_classes=10).get_submodule(layer)
    assert fitted.kernel_size != native.kernel_size
    assert not explain(f"timm:{name}", 10, 32).changes[-1].why.startswith("its weights begin as torch's")
    if std is None:  # schemes of torch's kind: variance goes with 1 / fan-in
        std = float(native.weight.detach().std()) * (native.weight[0].numel() / fitted.weight[0].numel()) ** 0.5
    assert float(fitted.weight.detach().std()) == pytest.approx(std, rel=0.1)
    if bias is not None:
        assert torch.equal(fitted.bias, torch.full_like(fitted.bias, bias))
    torch.manual_seed(0)
    again = create_model(f"timm:{name}", num_classes=10, image_size=32).get_submodule(layer)
    assert torch.equal(again.weight, fitted.weight) and torch.equal(torch.rand(1), after)
