"""What a policy chooses: the distribution, the three forms against their sources, and independence of splitting."""

from __future__ import annotations

import random

import numpy as np
import pytest
import timm.data.auto_augment as timm_augment
import torch
from photographs import photographs
from PIL import Image
from scipy import stats
from torch import Tensor

from levelfield.data.augment import build_augment
from levelfield.data.augment.operations import Argument, Layer
from levelfield.data.augment.randaugment import PolicyAugment
from levelfield.data.augment.randaugment_spaces import timm_space, uda_space
from levelfield.errors import UserError
from levelfield.spec import Augment
from levelfield.spec.augment import RandAugment, TrivialAugment

GREY = (128, 128, 128)
POLICIES = {
    "torchvision": {"name": "randaugment", "ops": 2, "magnitude": 7},
    "timm": {"name": "randaugment", "form": "timm", "magnitude": 9, "magnitude_std": 0.5, "increasing": True},
    "uda": {"name": "randaugment", "form": "uda", "ops": 1, "magnitude": 2},
    "uda 20": {"name": "randaugment", "form": "uda", "ops": 3, "magnitude": 20},
    "trivial": {"name": "trivial_augment_wide"},
}
EXTRAS = {"erasing": {"probability": 0.5}, "color_jitter": {"brightness": 0.3, "contrast": 0.3, "hue": 0.1}}


def policy(name: str) -> PolicyAugment:
    return PolicyAugment(Augment.model_validate({"policy": POLICIES[name]}).policy, GREY)


@pytest.mark.parametrize("name", POLICIES)
def test_one_image_gives_at_least_a_hundred(name: str) -> None:
    image = photographs(32, 32)[2]
    out = policy(name)(image.expand(256, -1, -1, -1), torch.arange(256), 0, 0)
    enough = {"uda": 20}.get(name, 100)  # one operation at one magnitude: sixteen operations, some with a sign
    assert len(torch.unique(out.flatten(1), dim=0)) >= enough


@pytest.mark.parametrize("name", POLICIES)
def test_splitting_and_order_change_nothing(name: str) -> None:
    images = photographs(32, 32).repeat(3, 1, 1, 1)
    index = torch.arange(500, 500 + len(images))
    crop = {"name": "pad_crop"}
    augment = build_augment(Augment.model_validate({"crop": crop, "policy": POLICIES[name], **EXTRAS}), 32)
    whole, before = augment(images, index, 2, 9), images.clone()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    for rows in (*order.split(13), order[:1]):
        assert torch.equal(augment(images[rows], index[rows], 2, 9), whole[rows])
    assert torch.equal(images, before)  # the stored images stay as they are
    assert not torch.equal(augment(images, index, 3, 9), whole) and not torch.equal(augment(images, index, 2, 8), whole)


@pytest.mark.parametrize("name", POLICIES)
def test_choices_signs_and_levels_have_their_distribution(name: str) -> None:
    chooser = policy(name)
    layers = chooser.draw(torch.arange(6000), 4, 1)
    entries = len(chooser.space.entries)
    for layer in layers:
        counts = torch.bincount(layer.choice, minlength=entries + 1)
        left_alone = counts[entries].item() / 6000
        assert left_alone == pytest.approx(1 - chooser.probability, abs=0.03)
        assert stats.chisquare(counts[:entries].numpy()).pvalue > 1e-3
        assert stats.chisquare([(layer.sign == s).sum().item() for s in (-1, 1)]).pvalue > 1e-3
    if len(layers) > 1:  # two operations of a sample are independent
        pairs = layers[0].choice * (entries + 1) + layers[1].choice
        table = torch.bincount(pairs, minlength=(entries + 1) ** 2).view(entries + 1, -1)[:entries, :entries]
        assert stats.chi2_contingency(table.numpy()).pvalue > 1e-3
    level = layers[0].level
    if name == "trivial":
        assert stats.chisquare(torch.bincount(level.long(), minlength=31).numpy()).pvalue > 1e-3
    elif name == "timm":
        inside = level[level < 10]
        assert 0.015 < (level == 10).double().mean() < 0.032 and abs(level.mean() - 9) < 0.03
        assert stats.kstest(((inside - 9) / 0.5).numpy(), stats.truncnorm(-np.inf, 2).cdf).pvalue > 1e-3
    else:
        assert (level == chooser.policy.magnitude).all()  # type: ignore[union-attr]


def run(space_name: str, name: str, level: float, sign: int, images: Tensor) -> Tensor:
    space = {"inc": timm_space(True, GREY), "plain": timm_space(False, GREY), "uda": uda_space()}[space_name]
    count = len(images)
    number = [entry.name for entry in space.entries].index(name)
    full = torch.full((count,), 1.0, dtype=torch.float64)
    place = torch.full((count, 2), 0.5)
    layer = Layer(full.long() * number, full * level, full * sign, place, torch.zeros(count).bool())
    return space.apply(images, [layer])


TIMM_NAMES = {
    name: name.removesuffix("Increasing").removesuffix("Rel") for name in timm_augment._RAND_INCREASING_TRANSFORMS
} | {name: name.removesuffix("Rel") for name in timm_augment._RAND_TRANSFORMS}


@pytest.mark.parametrize("theirs", sorted(TIMM_NAMES))
@pytest.mark.parametrize("level", [0.0, 3.3, 9.0, 9.9])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_timm_form_is_timms(theirs: str, level: float, sign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against timm's own operations on PIL images, bilinear: level by level, but for PIL's roundings."""
    form = "plain" if theirs in timm_augment._RAND_TRANSFORMS else "inc"
    images = photographs(48, 48)
    operation = timm_augment.AugmentOp(
        theirs, prob=1.0, magnitude=level, hparams={"img_mean": GREY, "interpolation": Image.Resampling.BILINEAR}
    )
    monkeypatch.setattr(random, "random", lambda: 1.0 if sign < 0 else 0.0)
    pil = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    if theirs == "Posterize" and operation.level_fn(level, operation.hparams)[0] == 0:
        want = torch.zeros_like(images)  # timm hands 0 bits to Pillow, whose newer versions refuse them
    else:
        want = torch.stack([torch.from_numpy(np.array(operation(image))).permute(2, 0, 1) for image in pil])
    got = run(form, TIMM_NAMES[theirs], level, sign, images)
    off = (got.int() - want.int()).abs()
    assert (off > 2).float().mean() < 2e-3, off.float().mean()


UDA = {  # the argument of each operation at magnitude 15 of 30, by its published range
    "Brightness": 1.0, "Color": 1.0, "Contrast": 1.0, "Sharpness": 1.0, "Posterize": 2, "Solarize": 128.0,
    "AddAndSolarize": 55.0, "Rotate": 15.0, "ShearX": 0.15, "ShearY": 0.15, "TranslateX": -50.0, "TranslateY": -50.0,
    "Cutout": 20.0,
}  # fmt: skip


def test_the_uda_form_has_its_published_ranges() -> None:
    half = Argument(torch.tensor([15.0]).double(), torch.tensor([1.0]).double(), 32, 32)
    entries = {entry.name: entry.argument for entry in uda_space().entries}
    assert set(entries) == set(UDA) | {"AutoContrast", "Equalize", "Invert"}
    for name, value in UDA.items():
        argument = entries[name]
        assert argument is not None and argument(half).item() == pytest.approx(value)


@pytest.mark.parametrize(("level", "side"), [(0, 1), (2, 3), (15, 21)])
def test_uda_cutout_covers_an_absolute_square(level: int, side: int) -> None:
    images = photographs(32, 32)
    out = run("uda", "Cutout", level, 1, images)
    start = int(16 - level / 30 * 40 / 2)
    want = images.clone()
    want[:, :, start : start + side, start : start + side] = torch.tensor([125, 123, 114], dtype=torch.uint8).view(
        3, 1, 1
    )
    assert torch.equal(out, want)


def test_uda_adds_then_solarizes() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    out = run("uda", "AddAndSolarize", 3, 1, levels)[0, 0].flatten()  # adds 11
    assert out[:4].tolist() == [11, 12, 13, 14]
    assert out[117].item() == 255 - 128 and out[116].item() == 127 and out[250].item() == 0


def test_probability_is_per_operation() -> None:
    chooser = PolicyAugment(RandAugment(ops=2, magnitude=5, probability=0.25), GREY)
    first, second = chooser.draw(torch.arange(4000), 0, 0)
    alone = [(layer.choice == 14) for layer in (first, second)]
    assert all(0.71 < part.float().mean() < 0.79 for part in alone)
    assert 0.51 < (alone[0] & alone[1]).float().mean() < 0.61


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (RandAugment(form="uda", increasing=True), "belong to RandAugment's form timm, not to 'uda'"),
        (RandAugment(magnitude_std=0.5), "set form: timm"),
        (RandAugment(magnitude=7.5), "not 7.5; give a whole number"),
    ],
)
def test_settings_that_a_form_has_not_are_refused(bad: RandAugment, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PolicyAugment(bad, GREY)


def test_trivial_augment_is_one_operation() -> None:
    assert len(PolicyAugment(TrivialAugment(), GREY).draw(torch.arange(3), 0, 0)) == 1
