"""Colour jitter and random resized crop against torchvision on the parameters that were drawn."""

from __future__ import annotations

import math

import pytest
import torch
from photographs import photographs
from PIL import Image
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms.v2 import functional as tv

from levelfield.data.augment import build_augment
from levelfield.data.augment.colour_jitter import Jitter
from levelfield.data.augment.random_resized_crop import draw_parts, take_parts
from levelfield.data.ragged_images import Ragged, joined, ragged
from levelfield.spec import Augment
from levelfield.spec.augment import ColorJitter, RandomResizedCrop

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


def each(count: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((count,), height), torch.full((count,), width)


def by_pillow(part: Image.Image, size: int, interpolation: str, mirrored: bool) -> torch.Tensor:
    """`part` resized along its rows, then along its columns (in one call, versions of Pillow take either first)."""
    kind = Image.Resampling[interpolation.upper()]
    resized = tv.pil_to_tensor(part.resize((size, part.height), kind).resize((size, size), kind))
    return resized.flip(2) if mirrored else resized


@pytest.mark.parametrize("size", [24, 48, 80])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_parts_are_resized_as_by_pillow(interpolation: str, size: int) -> None:
    images = photographs(96, 128)
    parts = draw_parts(RandomResizedCrop(), *each(14, 96, 128), torch.arange(14), 0, 0)
    flip = torch.arange(14) % 2 == 0
    got = take_parts(images, parts, flip, size, interpolation)
    for row, (top, left, height, width) in enumerate(parts.tolist()):
        part = tv.to_pil_image(images[row, :, top : top + height, left : left + width])
        off = (got[row].int() - by_pillow(part, size, interpolation, bool(flip[row])).int()).abs()
        assert off.max() <= 1 and (off > 0).float().mean() < 0.03


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_images_of_their_own_sizes_are_resized_as_by_pillow(interpolation: str) -> None:
    sizes = [(37, 91), (96, 128), (128, 60), (20, 20), (200, 3), (1, 1)]
    images = [photographs(*size)[row].permute(1, 2, 0).numpy() for row, size in enumerate(sizes)]
    together = ragged(images)
    index = torch.arange(len(sizes))
    parts = draw_parts(RandomResizedCrop(), together.height, together.width, index, 1, 2)
    got = take_parts(together, parts, index % 2 == 1, 32, interpolation)
    for row, (top, left, height, width) in enumerate(parts.tolist()):
        assert 0 <= top <= sizes[row][0] - height and 0 <= left <= sizes[row][1] - width
        part = Image.fromarray(images[row][top : top + height, left : left + width])
        want = by_pillow(part, 32, interpolation, row % 2 == 1)
        assert (got[row].int() - want.int()).abs().max() <= 1
    alone = [take_parts(together[index[r : r + 1]], parts[r : r + 1], index[r : r + 1] % 2 == 1, 32, interpolation)
             for r in range(len(sizes))]  # fmt: skip
    assert torch.equal(torch.cat(alone), got)
    for other in (
        together.compact(),
        joined([together[:2].compact(), together[2:]]),
        joined([together[:2], together[2:]]),
    ):
        assert isinstance(other, Ragged)
        assert torch.equal(take_parts(other, parts, index % 2 == 1, 32, interpolation), got)


def test_a_host_program_that_asks_for_short_products_changes_nothing() -> None:
    images, parts = photographs(64, 64), torch.tensor([[3, 5, 41, 52]] * 14)
    want = take_parts(images, parts, torch.zeros(14).bool(), 24, "bicubic")
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert torch.equal(take_parts(images, parts, torch.zeros(14).bool(), 24, "bicubic"), want)
    finally:
        torch.set_float32_matmul_precision(before)


def test_the_crop_of_a_batch_is_a_few_operations_whatever_its_size() -> None:
    class Counting(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(
            self, func: object, types: object, args: tuple = (), kwargs: dict | None = None
        ) -> object:
            self.count += 1
            return func(*args, **(kwargs or {}))  # type: ignore[operator]

    counts = []
    for batch in (8, 512):
        images, parts = torch.zeros(batch, 3, 40, 40, dtype=torch.uint8), torch.tensor([[3, 5, 31, 32]] * batch)
        with Counting() as counting:
            take_parts(images, parts, torch.zeros(batch).bool(), 32, "bicubic")
        counts.append(counting.count)
    assert counts[0] == counts[1] < 250


def test_parts_have_the_asked_area_and_shape() -> None:
    crop = RandomResizedCrop(scale=(0.3, 0.6), ratio=(0.75, 4 / 3))
    parts = draw_parts(crop, *each(3000, 300, 300), torch.arange(3000), 0, 0)
    top, left, height, width = parts.double().unbind(1)
    area = height * width / 300**2
    assert stats.kstest(area.numpy(), stats.uniform(0.3, 0.3).cdf).pvalue > 1e-3
    low, high = math.log(0.75), math.log(4 / 3)
    assert stats.kstest(torch.log(width / height).numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-3
    assert top.min() == 0 and (top + height).max() == 300 and left.min() == 0 and (left + width).max() == 300


def test_where_no_part_fits_the_largest_central_one_is_taken() -> None:
    crop = RandomResizedCrop(scale=(1.2, 1.3))  # more than the image has
    height, width = torch.tensor([40, 400, 50]), torch.tensor([400, 40, 50])
    parts = draw_parts(crop, height, width, torch.arange(3), 0, 0)
    assert parts[:, 2:].tolist() == [[40, 53], [53, 40], [50, 50]]
    assert torch.equal(parts[:, 0], (height - parts[:, 2]) // 2) and torch.equal(
        parts[:, 1], (width - parts[:, 3]) // 2
    )


def test_the_pipeline_takes_a_resized_crop_and_splits_evenly() -> None:
    augment = build_augment(
        Augment.model_validate({"crop": {"name": "random_resized_crop"}, "flip": "random"}), 40, (0,) * 3, (1,) * 3
    )
    images, index = photographs(64, 64), torch.arange(14)
    whole = augment(images, index, 0, 0)
    assert whole.shape == (14, 3, 40, 40)
    assert torch.equal(augment(images[5:], index[5:], 0, 0), whole[5:])
