"""Every registered model through the same table of checks: one training step, two sizes, contract, state, layouts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.models import (
    create_model,
    list_models,
    model_info,
    no_weight_decay,
    on_meta,
    stage_of_parameters,
)  # fmt: skip
from levelfield.models.network_parts import classifier_name, stages
from levelfield.models.training_form import training_form

NAMES = [name for name in list_models() if model_info(name).plugin is None]
SMALL = ["outgrid_nano", "resnet_nano", "convnext_nano_p2", "vit_mini", "rexnet_tiny_0.35"]
TIMM_NAMES = ["timm:resnet18", "timm:swin_tiny_patch4_window7_224", "timm:vit_tiny_patch16_224"]


def _images(image_size: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))


def _waken(model: nn.Module) -> nn.Module:
    """Layer scales of 1e-6 would hide a branch's gradient below rounding."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.rsplit(".", 1)[-1] in ("layer_scale", "gamma"):
                parameter.fill_(1.0)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_one_training_step_then_a_finite_forward_and_a_round_trip(name: str) -> None:
    side = 64 if name.startswith("roadmap") else 32  # BatchNorm over two values passes no gradient
    torch.manual_seed(0)
    model = _waken(create_model(name, num_classes=5, image_size=side))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    loss = F.cross_entropy(model(_images(side)), torch.tensor([0, 1]))
    loss.backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters() if parameter.grad is not None)
    before = next(model.parameters()).clone()
    optimizer.step()
    assert not torch.equal(before, next(model.parameters()))
    model.zero_grad(set_to_none=True)
    model.eval()
    with torch.no_grad():
        logits = model(_images(side))
        assert logits.shape == (2, 5) and bool(logits.isfinite().all())
        torch.manual_seed(1)
        twin = create_model(name, num_classes=5, image_size=side).eval()
        assert not torch.equal(twin(_images(side)), logits)
        twin.load_state_dict(model.state_dict(), strict=True)
        assert torch.equal(twin(_images(side)), logits)


@pytest.mark.parametrize("name", NAMES)
def test_two_sizes_channels_last_and_the_contract(name: str) -> None:
    """In float64: the two layouts sum in another order, in which processors differ too. An untrained EfficientNetV2
    multiplies float32's rounding to 1e-3 of its logits of 1e3, float64's to 1e-13; a wrong layout is wrong by 1.
    (The compiled float32 forms, which float64 does not take, are held to plain torch in test_native_kernels.py.)
    """
    torch.manual_seed(0)
    model = _waken(create_model(name, num_classes=5, image_size=64)).eval().double()
    with torch.no_grad():
        images = _images(64, 1).double()
        features = model.forward_features(images)  # type: ignore[operator]
        assert features.ndim in (3, 4)
        logits = model.forward_head(features)  # type: ignore[operator]
        assert logits.shape == (1, 5) and bool(logits.isfinite().all())
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        channels_last = model(images.to(memory_format=torch.channels_last))
        torch.testing.assert_close(channels_last, logits, rtol=0, atol=1e-9 * logits.abs().max().item())
        model.reset_classifier(7)  # type: ignore[operator]
        assert model.double()(images).shape == (1, 7)


@pytest.mark.parametrize("name", NAMES)
def test_depthwise_convolutions_are_the_fast_ones(name: str) -> None:
    """torch's own take up to thirteen times as long in bfloat16: a network's row would pay for how it was written."""
    modules = training_form(on_meta(name)).named_modules()
    assert [key for key, module in modules if type(module) is nn.Conv2d and module.groups > 1] == []


@pytest.mark.parametrize("name", [*NAMES, *TIMM_NAMES])
def test_stages_and_decay_cover_the_parameters(name: str) -> None:
    model = on_meta(name) if not name.startswith("timm:") else create_model(name, 10)
    parts = stages(model)
    assert len(parts) >= 3
    assert all(model.get_submodule(key) is part for key, part in parts.items())
    depths = stage_of_parameters(model)
    names = [key for key, _ in model.named_parameters()]
    assert list(depths) == names
    head = classifier_name(model)
    assert head is not None and head not in parts
    assert {depths[key] for key in names if key.startswith(head + ".")} == {max(depths.values())}
    assert depths[names[0]] == 0
    spared = no_weight_decay(model)
    assert spared < set(names)
    for key, parameter in model.named_parameters():
        if parameter.ndim <= 1 or key.endswith(("pos_embed", "cls_token", "layer_scale")):
            assert key in spared
        elif key.endswith((".weight", "weight")):
            assert key not in spared


@pytest.mark.parametrize("name", [name for name in SMALL if "rexnet" not in name])
def test_stochastic_depth_draws_per_sample_or_per_batch(name: str) -> None:
    images = _images(32, 1).double().expand(16, -1, -1, -1)
    for mode, per_image in (("sample", True), ("batch", False)):
        torch.manual_seed(0)
        model = _waken(create_model(name, 5, 32, drop_path=0.5, drop_path_mode=mode)).double()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        rows = model(images)
        assert (bool((rows - rows[0]).abs().max() > 1e-6)) is per_image
        torch.testing.assert_close(model.eval()(images)[0], model(images)[1], rtol=1e-9, atol=1e-9)


def test_dropout_is_active_in_training_only() -> None:
    model = create_model("resnet_nano", 5, 32, dropout=0.9).eval()
    images = _images(32)
    assert torch.equal(model(images), model(images))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    assert not torch.equal(model(images), model(images))
