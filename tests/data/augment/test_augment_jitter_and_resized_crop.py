"""Colour jitter and random resized crop against torchvision on the parameters that were drawn."""

from __future__ import annotations

import math

import pytest
import torch
from photographs import photographs
from scipy import stats
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from levelfield.data.augment import build_augment
from levelfield.data.augment.jitter import Jitter
from levelfield.data.augment.resized_crop import draw_parts, take_parts
from levelfield.spec import Augment
from levelfield.spec.recipe import ColorJitter, RandomResizedCrop

THEIRS = {
    "Brightness": tv.adjust_brightness,
    "Contrast": tv.adjust_contrast,
    "Color": tv.adjust_saturation,
    "Hue": tv.adjust_hue,
}


def test_jitter_applies_the_drawn_factors_in_the_drawn_order() -> None:
    jitter = Jitter(ColorJitter(brightness=0.4, contrast=0.3, saturation=0.5, hue=0.1))
    images, index = photographs(32, 32), torch.arange(14)
    layers, got = jitter.draw(index, 1, 2), jitter(images, index, 1, 2)
    for row, image in enumerate(images):
        for layer in layers:
            name = jitter.space.entries[layer.choice[row]].name
            image = THEIRS[name](image, float(layer.level[row]))
        assert (got[row].int() - image.int()).abs().float().mean() < 0.05
        assert ((got[row].int() - image.int()).abs() > 2).float().mean() < 1e-3
    assert len({tuple(int(layer.choice[row]) for layer in layers) for row in range(14)}) > 5


def test_jitter_factors_are_uniform_and_orders_even() -> None:
    jitter = Jitter(ColorJitter(brightness=1.5, hue=0.2))
    layers = jitter.draw(torch.arange(3000), 0, 0)
    names = [entry.name for entry in jitter.space.entries]
    assert names == ["Brightness", "Hue"] and len(layers) == 2
    level = torch.stack([layer.level for layer in layers]).gather(
        0, torch.stack([layer.choice for layer in layers]).argsort(0)
    )
    assert stats.kstest(level[0].numpy(), stats.uniform(0, 2.5).cdf).pvalue > 1e-3
    assert stats.kstest(level[1].numpy(), stats.uniform(-0.2, 0.4).cdf).pvalue > 1e-3
    assert 1390 < (layers[0].choice == 0).sum() < 1610


def test_no_jitter_leaves_the_images() -> None:
    images = photographs(32, 32)
    assert torch.equal(Jitter(ColorJitter())(images, torch.arange(14), 0, 0), images)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_parts_are_resized_as_by_torchvision(interpolation: str) -> None:
    images = photographs(96, 128)
    parts = draw_parts(RandomResizedCrop(), (96, 128), torch.arange(14), 0, 0)
    flip = torch.arange(14) % 2 == 0
    got = take_parts(images, parts, flip, 48, interpolation)
    for row, (top, left, height, width) in enumerate(parts.tolist()):
        want = tv.resized_crop(images[row], top, left, height, width, [48, 48], InterpolationMode(interpolation))
        want = want.flip(2) if flip[row] else want
        assert (got[row].int() - want.int()).abs().max() <= 1


def test_parts_have_the_asked_area_and_shape() -> None:
    crop = RandomResizedCrop(scale=(0.3, 0.6), ratio=(0.75, 4 / 3))
    parts = draw_parts(crop, (300, 300), torch.arange(3000), 0, 0)
    top, left, height, width = parts.double().unbind(1)
    area = height * width / 300**2
    assert stats.kstest(area.numpy(), stats.uniform(0.3, 0.3).cdf).pvalue > 1e-3
    low, high = math.log(0.75), math.log(4 / 3)
    assert stats.kstest(torch.log(width / height).numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-3
    assert top.min() == 0 and (top + height).max() == 300 and left.min() == 0 and (left + width).max() == 300


@pytest.mark.parametrize(("stored", "want"), [((40, 400), (40, 53)), ((400, 40), (53, 40)), ((50, 50), (50, 50))])
def test_where_no_part_fits_the_largest_central_one_is_taken(stored: tuple[int, int], want: tuple[int, int]) -> None:
    crop = RandomResizedCrop(scale=(1.2, 1.3))  # more than the image has
    top, left, height, width = draw_parts(crop, stored, torch.arange(1), 0, 0)[0].tolist()
    assert (height, width) == want
    assert (top, left) == ((stored[0] - height) // 2, (stored[1] - width) // 2)


def test_the_pipeline_takes_a_resized_crop_and_splits_evenly() -> None:
    augment = build_augment(
        Augment.model_validate({"crop": {"name": "random_resized_crop"}, "flip": "random"}), 40, (0,) * 3, (1,) * 3
    )
    images, index = photographs(64, 64), torch.arange(14)
    whole = augment(images, index, 0, 0)
    assert whole.shape == (14, 3, 40, 40)
    assert torch.equal(augment(images[5:], index[5:], 0, 0), whole[5:])
