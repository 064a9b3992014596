"""What may become of a network's parts in deployed form, and what is left alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from levelfield.errors import UserError
from levelfield.models import create_model
from levelfield.models.deploy import DeployedNetwork, deployed
from levelfield.models.deploy.packed_layers import PackedConv2d, PackedLinear, can_pack


@pytest.fixture(autouse=True)
def _everything_is_worth_packing(monkeypatch: pytest.MonkeyPatch) -> None:
    """These networks are tiny."""
    monkeypatch.setattr("levelfield.models.deploy.deployed_network.WORTH_PACKING", 0)


IMAGES = torch.randn(6, 3, 10, 10, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A network of 8 channels whose `run` says what is computed."""

    def __init__(self, run: Callable[[Any, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)
        for name, part in parts.items():
            setattr(self, name, part)
        self.run = run
        learned(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.run(self, x).mean((2, 3)))
        return out


def learned(model: nn.Module) -> nn.Module:
    """`model` with norms that have seen something."""
    draw = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.5, generator=draw)
            assert module.running_var is not None
            module.running_var.uniform_(0.5, 2, generator=draw)
            with torch.no_grad():
                module.weight.uniform_(-2, 2, generator=draw)
                module.bias.normal_(generator=draw)
    return model


def plain(net: Any, x: Tensor) -> Tensor:
    out: Tensor = net.act(net.norm(net.conv(x)))
    return out


def evaluated(model: nn.Module, images: Tensor = IMAGES) -> Tensor:
    twin = model if isinstance(model, DeployedNetwork) else copy.deepcopy(model).eval()
    with torch.inference_mode():
        out: Tensor = twin(images)
    return out


def held(model: nn.Module) -> tuple[int, int, int]:
    """(folded, fused, packed) of the deployed form of `model`, which computes the same in any batch."""
    form = deployed(model, IMAGES, torch.float32)
    for images in (IMAGES, IMAGES[:1], torch.randn(9, 3, 10, 10)):
        torch.testing.assert_close(evaluated(form, images), evaluated(model, images), rtol=1e-4, atol=1e-4)
    return form.account.folded, form.account.fused, form.account.packed


def residual(net: Any, x: Tensor) -> Tensor:
    x = net.act(net.norm(net.conv(x)))
    return F.relu(net.second_norm(net.second(x)) + x)


def two_readers(net: Any, x: Tensor) -> Tensor:
    y = net.conv(x)
    out: Tensor = net.norm(y) + 1e-3 * y
    return out


def seen_by_a_view(net: Any, x: Tensor) -> Tensor:
    y = net.conv(x)
    flat = y.flatten(2)
    return net.norm(y) * flat.amax(2)[:, :, None, None]


def twice(net: Any, x: Tensor) -> Tensor:
    y = net.norm(net.second(plain(net, x)))
    out: Tensor = net.second_norm(net.second(y))
    return out


def norm_twice(net: Any, x: Tensor) -> Tensor:
    out: Tensor = net.norm(net.second(net.norm(net.conv(x))))
    return out


def weight_read_elsewhere(net: Any, x: Tensor) -> Tensor:
    out: Tensor = net.norm(net.conv(x)) * net.conv.weight.mean()
    return out


def activation_twice(net: Any, x: Tensor) -> Tensor:
    out: Tensor = net.act(net.second_norm(net.second(net.act(net.norm(net.conv(x))))))
    return out


def before_the_activation(net: Any, x: Tensor) -> Tensor:
    y = net.norm(net.conv(x))
    kept = y.mean()
    out: Tensor = net.act(y) + kept
    return out


@pytest.mark.parametrize(
    ("run", "parts", "expected"),
    [
        (plain, {}, (1, 1, 2)),
        (plain, {"act": nn.SiLU()}, (1, 1, 2)),
        (plain, {"act": nn.GELU()}, (1, 1, 2)),
        (plain, {"act": nn.GELU("tanh")}, (1, 1, 2)),
        (plain, {"act": nn.Hardswish()}, (1, 0, 2)),
        (plain, {"norm": nn.Identity()}, (0, 1, 2)),
        (plain, {"conv": nn.Conv2d(3, 8, 3, padding="same")}, (0, 0, 1)),
        (plain, {"conv": nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")}, (0, 0, 1)),
        (plain, {"norm": nn.GroupNorm(2, 8)}, (0, 0, 2)),
        (residual, {}, (2, 3, 3)),
        (two_readers, {}, (0, 0, 2)),
        (seen_by_a_view, {}, (0, 0, 2)),
        (twice, {}, (0, 0, 3)),
        (norm_twice, {}, (0, 0, 3)),
        (weight_read_elsewhere, {}, (0, 0, 1)),
        (activation_twice, {}, (2, 2, 3)),
        (before_the_activation, {}, (1, 0, 2)),
    ],
)
def test_what_is_taken_together_and_what_is_left_alone(
    run: Callable[[Any, Tensor], Tensor], parts: dict[str, nn.Module], expected: tuple[int, int, int]
) -> None:
    assert held(Net(run, **copy.deepcopy(parts))) == expected


class StillTraining(nn.BatchNorm2d):
    """A norm that takes the batch's statistics whatever it is told; as nn.BatchNorm2d itself below."""


def training_norm() -> nn.Module:
    norm = nn.BatchNorm2d(8)
    norm.train = lambda mode=True: norm  # type: ignore[assignment,method-assign,misc]
    return norm


@pytest.mark.parametrize(
    ("norm", "folded"),
    [
        (nn.BatchNorm2d(8, affine=False), 1),
        (nn.BatchNorm2d(8, track_running_stats=False), 0),
        (training_norm(), 0),
        (StillTraining(8), 0),  # of another class: it could compute anything
    ],
)
def test_a_norm_is_folded_by_what_it_computes(norm: nn.Module, folded: int) -> None:
    model = Net(plain)
    model.norm = norm  # type: ignore[assignment]
    form = deployed(model, IMAGES, torch.float32)
    model.eval()
    with torch.inference_mode():
        torch.testing.assert_close(form(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-4)
    assert form.account.folded == folded


@pytest.mark.parametrize(
    ("place", "expected"), [("conv", (0, 0, 1)), ("norm", (0, 0, 2)), ("act", (1, 0, 2)), ("head", (1, 1, 1))]
)
@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
def test_what_is_watched_is_called(place: str, expected: tuple[int, int, int], kind: str) -> None:
    model, told = Net(plain), []
    getattr(getattr(model, place), kind)(lambda module, *values: told.append(module))
    form = deployed(model, IMAGES, torch.float32)
    assert (form.account.folded, form.account.fused, form.account.packed) == expected
    before = len(told)
    form(IMAGES)
    assert len(told) == before + 1


def test_a_hook_on_every_module_leaves_all_alone() -> None:
    handle = register_module_forward_hook(lambda module, given, made: None)
    try:
        account = deployed(Net(plain), IMAGES, torch.float32).account
    finally:
        handle.remove()
    assert (account.folded, account.fused, account.packed) == (0, 0, 0) and account.logits_off < 1e-6


def parametrized(model: Net) -> None:
    nn.utils.parametrizations.spectral_norm(model.conv)


def weight_norm(model: Net) -> None:
    nn.utils.parametrizations.weight_norm(model.conv)


def shared(model: Net) -> None:
    model.second.weight = nn.Parameter(torch.randn(8, 3, 3, 3) / 5)
    model.conv.weight = model.second.weight
    model.run = lambda net, x: net.act(net.norm(net.conv(x)) + net.second_norm(net.second(x)))


def own_forward(model: Net) -> None:
    model.conv.forward = lambda x: 2 * F.conv2d(x, model.conv.weight, padding=1)  # type: ignore[method-assign]


def own_padding(model: Net) -> None:
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), weight, bias)

    model.conv._conv_forward = forward  # type: ignore[method-assign]


@pytest.mark.parametrize("change", [parametrized, weight_norm, shared, own_forward, own_padding])
def test_weights_that_are_not_simply_the_layers_own_stay(change: Callable[[Net], None]) -> None:
    model = Net(plain).eval()
    change(model)
    form = deployed(model, IMAGES, torch.float32)
    with torch.inference_mode():
        torch.testing.assert_close(form(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-4)
    assert form.account.folded == 0 and form.account.packed == 1  # the classifier


def test_an_activation_that_was_given_another_forward_keeps_it() -> None:
    model = Net(plain).eval()
    model.act.forward = torch.abs  # type: ignore[method-assign]
    form = deployed(model, IMAGES, torch.float32)
    with torch.inference_mode():
        torch.testing.assert_close(form(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-4)


def test_a_wider_part_of_the_network_stays_as_wide() -> None:
    def run(net: Any, x: Tensor) -> Tensor:
        x = plain(net, x)
        with torch.autocast("cpu", enabled=False):
            out: Tensor = net.second_norm(net.second(x.float()))
        return out

    form = deployed(Net(run), IMAGES, torch.bfloat16)
    conv, second = form.network.conv, form.network.second
    assert conv.weight.dtype is torch.bfloat16 and second.weight.dtype is torch.float32
    assert form(IMAGES).dtype is torch.bfloat16 and form.account.folded == 2


class SumInWider(nn.Module):
    """A residual sum in float32, whatever the convolution computes in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x) + x).mean((2, 3))


def test_a_sum_with_a_wider_map_is_as_wide() -> None:
    model = SumInWider().eval()
    form = deployed(model, IMAGES, torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        own = model(IMAGES)
    assert form(IMAGES).dtype is own.dtype is torch.float32
    torch.testing.assert_close(form(IMAGES), own, rtol=2e-2, atol=2e-2)
    if form.account.packed:
        assert form.account.fused == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_callers_network_stays_as_it_is(dtype: torch.dtype) -> None:
    model = create_model("resnet_nano", 10, 32).train()
    model.levels[0].eval()
    images = torch.randn(2, 3, 32, 32)
    before = copy.deepcopy(model.state_dict())
    kinds = [(type(module), module.training, len(module._forward_hooks)) for module in model.modules()]
    deployed(model, images, dtype)(images)
    assert [(type(module), module.training, len(module._forward_hooks)) for module in model.modules()] == kinds
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(each.requires_grad and each.dtype is torch.float32 for each in model.parameters())


def test_averaged_weights_are_deployed_as_they_are() -> None:
    model = learned(create_model("resnet_nano", 10, 32))
    averaged = torch.optim.swa_utils.AveragedModel(model)
    with torch.no_grad():
        for each in averaged.parameters():
            each.mul_(1.1)
    images = torch.randn(3, 3, 32, 32)
    form = deployed(averaged, images, torch.float32)
    torch.testing.assert_close(form(images), evaluated(averaged, images), rtol=1e-4, atol=1e-4)
    assert form.account.folded == 9 and not torch.allclose(form(images), evaluated(model, images))


def test_without_onednn_norms_are_folded_and_weights_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelfield.models.deploy.deployed_network.can_pack", lambda device, dtype: False)
    for dtype, off in ((torch.float32, 1e-4), (torch.bfloat16, 5e-2)):
        model = Net(residual)
        form = deployed(model, IMAGES, dtype)
        account = form.account
        assert (account.folded, account.fused, account.packed, account.layers) == (2, 0, 0, 3)
        assert form.network.conv.weight.dtype is dtype and type(form.network.act) is nn.ReLU
        expected = evaluated(model)
        assert (form(IMAGES) - expected).abs().max() <= off * expected.abs().max()


def test_a_packed_layer_that_computes_something_else_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PackedLinear, "forward", lambda self, x, **how: x.new_zeros(*x.shape[:-1], self.out_features))
    monkeypatch.setattr(PackedConv2d, "forward", lambda self, x, **how: (_ for _ in ()).throw(RuntimeError("no")))
    account = deployed(Net(plain), IMAGES, torch.float32).account
    assert (account.folded, account.packed, account.layers) == (1, 0, 2)


def test_norms_of_vectors_are_folded_into_linear_layers() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(300, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5))
    learned(model)
    form = deployed(model, IMAGES, torch.float32)
    torch.testing.assert_close(form(IMAGES), evaluated(model), rtol=1e-4, atol=1e-4)
    assert (form.account.folded, form.account.fused, form.account.packed) == (1, 1, 2)


class Tokens(nn.Module):
    """torch's own encoder, which reads the weights of its layers past them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 5, stride=5)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=False)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(self.embed(x).flatten(2).transpose(1, 2)).mean(1))
        return out


def test_torchs_own_encoder_keeps_its_layers() -> None:
    assert held(Tokens())[2] == 2  # the embedding and the classifier


def test_autocast_around_it_changes_nothing() -> None:
    form = deployed(Net(residual), IMAGES, torch.bfloat16)
    alone = form(IMAGES)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert torch.equal(form(IMAGES), alone)
    exact = deployed(Net(residual), IMAGES, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert exact(IMAGES).dtype is torch.float32


def test_it_is_made_inside_inference_mode_too() -> None:
    with torch.inference_mode():
        form = deployed(Net(residual), torch.randn(2, 3, 10, 10), torch.float32)
    assert form(IMAGES).shape == (6, 5)


def test_what_cannot_be_held_to_its_numbers_is_refused() -> None:
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(5))
    with pytest.raises(UserError, match="Sequential has lazy modules"):
        deployed(lazy, IMAGES, torch.float32)
    old = Net(plain)
    nn.utils.weight_norm(old.conv)
    with pytest.raises(UserError, match=r"Net cannot be copied.*\nuse the network as it is"):
        deployed(old, IMAGES, torch.float32)
    calls = iter(range(100))
    moody = Net(lambda net, x: plain(net, x) * next(calls))
    with pytest.raises(UserError, match=r"no deployed form of Net was found.*\nuse the network as it is"):
        deployed(moody, IMAGES, torch.float32)
    curious = Net(lambda net, x: plain(net, x) + net.norm.eps)
    with pytest.raises(UserError, match=r"Net fails in its deployed form.*eps"):
        deployed(curious, IMAGES, torch.float32)


def test_images_of_another_size_are_refused() -> None:
    form = deployed(Net(plain), IMAGES, torch.float32)
    with pytest.raises(UserError, match=r"images of shape \(3, 10, 10\) and got \(3, 12, 12\)"):
        form(torch.zeros(1, 3, 12, 12))


def test_small_linear_layers_in_float32_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def packed(limit: int, dtype: torch.dtype) -> int:
        monkeypatch.setattr("levelfield.models.deploy.deployed_network.WORTH_PACKING", limit)
        model = nn.Sequential(nn.Flatten(), nn.Linear(300, 16), nn.GELU())
        return deployed(model, IMAGES, dtype).account.packed

    work = len(IMAGES) * 300 * 16
    assert packed(work, torch.float32) == 1 and packed(work + 1, torch.float32) == 0
    if can_pack(torch.device("cpu"), torch.bfloat16):
        assert packed(work + 1, torch.bfloat16) == 1


class NearlyNothing(nn.Module):
    """Normalises each image and takes its mean: what is left is rounding, in any precision."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = (
            nn.Conv2d(3, 8, 3, padding=1),
            nn.InstanceNorm2d(8),
            nn.Linear(8, 4, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


def test_rounding_as_large_as_the_logits_themselves_is_no_licence() -> None:
    torch.manual_seed(0)
    with pytest.raises(UserError, match=r"no deployed form of NearlyNothing was found"):
        deployed(NearlyNothing().eval(), torch.randn(4, 3, 16, 16), torch.bfloat16)
