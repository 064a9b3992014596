"""The C++ forms of augmentation give the bits of the plain torch forms, and are what computes where they are built."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from levelfield import native
from levelfield.data.augment import build_augment
from levelfield.data.augment.affine_operations import SMALL_PX, nearest, rotate, shear_x, shear_y, smooth, translate_y
from levelfield.data.augment.colour_sharpness_cutout import saturation, sharpness
from levelfield.data.augment.crop_and_flip import Windows, shift, take_windows
from levelfield.data.augment.level_operations import autocontrast, contrast, equalize, look_up
from levelfield.data.augment.random_erasing import erase
from levelfield.data.augment.random_resized_crop import draw_parts, take_parts
from levelfield.data.ragged_images import ragged
from levelfield.spec import Augment
from levelfield.spec.augment import Erasing, RandomResizedCrop

pytestmark = pytest.mark.skipif(
    native.library() is None, reason="the C++ loops are not built: `make setup` builds them"
)
SIZES = [(32, 32), (1, 1), (2, 5), (7, 31), (33, 18), (224, 64)]


def images_of(count: int, height: int, width: int) -> Tensor:
    noise = torch.randint(
        0, 256, (count, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(7)
    )
    noise[::3, 1] = 40  # a flat channel
    noise[::4] //= 64  # few levels
    return noise


def both(monkeypatch: pytest.MonkeyPatch, compute: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """What C++ computes, which must have been asked, and what torch does."""
    asked, run = [], native.call_on_bytes
    with monkeypatch.context() as patch:
        patch.setattr(native, "call_on_bytes", lambda *arguments: (asked.append(arguments[0]), run(*arguments)))
        fast = compute()
    assert asked, "nothing was computed in C++"
    with monkeypatch.context() as patch:
        patch.setattr(native, "library", lambda: None)
        return fast, compute()


def maps_of(count: int, height: int, width: int) -> Tensor:
    some = torch.linspace(-0.9, 0.9, count, dtype=torch.float64)
    kinds = [
        rotate(100 * some, height, width),
        shear_x(some, height, width),
        shear_y(0.2 * (5 * some).round(), height, width),
        translate_y(some * height * 1.5, height, width),
    ]
    return torch.stack([kinds[k % 4][k] for k in range(count)])


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("threads", [1, 2])
def test_every_operation_is_equal_to_the_bit(
    height: int, width: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, before = images_of(12, height, width), torch.get_num_threads()
    maps, count = maps_of(12, height, width), torch.arange(12)
    factors = torch.linspace(0, 1.9, 12, dtype=torch.float64)
    tables = torch.randint(0, 256, (12, 3, 256), dtype=torch.uint8)
    computed: dict[str, Callable[[], Tensor]] = {
        "look up": lambda: look_up(images, tables),
        "look up in place": lambda: look_up(here := images.clone(), tables, out=here),
        "equalise": lambda: equalize(images, factors),
        "autocontrast": lambda: autocontrast(images, factors),
        "contrast": lambda: contrast(images, factors),
        "saturation": lambda: saturation(images, factors),
        "shift": lambda: shift(images, 3 * count - 16, 40 - 7 * count),
        "nearest": lambda: nearest(images, maps, fill=9),
        "nearest in place": lambda: nearest(here := images.clone(), maps, out=here),
        "smooth": lambda: smooth(images, maps, count % 2 == 0, (1, 200, 30)),
    }
    for padding, fill in ((0, "zero"), (4, "zero"), (min(height, width) - 1, "reflect")):
        size = min(height, width) + padding
        room = torch.tensor([height + 2 * padding - size, width + 2 * padding - size]) + 1
        windows = Windows(count % room[0], (3 * count) % room[1], count % 3 == 0)
        computed[f"windows, {fill} {padding}"] = partial(take_windows, images, windows, size, padding, fill)
    if min(height, width) > 2:
        computed["sharpness"] = lambda: sharpness(images, factors)
    try:
        torch.set_num_threads(threads)
        for name, compute in computed.items():
            fast, plain = both(monkeypatch, compute)
            assert torch.equal(fast, plain), name
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [1, 8, 33, 64])
def test_resized_parts_are_equal_to_the_bit(size: int, interpolation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    extents = [(1, 1), (3, 90), (90, 3), (17, 16), (64, 64), (130, 75), (48, 200)]
    images = ragged([images_of(1, *extent)[0].permute(1, 2, 0).numpy() for extent in extents * 3])
    index = torch.arange(len(images))
    for epoch in range(4):
        crop = RandomResizedCrop(interpolation=interpolation)  # type: ignore[arg-type]
        parts = draw_parts(crop, images.height, images.width, index, epoch, 0)
        take = partial(take_parts, images, parts, index % 2 == 0, size, interpolation)
        fast, plain = both(monkeypatch, take)
        assert torch.equal(fast, plain)


def test_what_32_bits_cannot_hold_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = images_of(1, 2, SMALL_PX + 1)
    monkeypatch.setattr(native, "call_on_bytes", lambda *_: pytest.fail("C++ was asked"))
    assert torch.equal(nearest(wide, maps_of(1, 2, SMALL_PX + 1)[:0].new_tensor([[1, 0, 0, 0, 1, 0]])), wide)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("form", ["torchvision", "timm", "uda"])
def test_a_whole_recipe_is_equal_to_the_bit(
    form: str, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = images_of(64, 40, 40)
    augment = build_augment(
        Augment.model_validate(
            {
                "crop": {"name": "pad_crop", "padding_px": 4},
                "flip": "random",
                "policy": {"name": "randaugment", "ops": 2, "magnitude": 9, "form": form},
                "erasing": {"probability": 0.25},
                "normalize": "data",
            }
        ),
        32,
        memory_format=layout,
    )
    for epoch in range(3):
        fast, plain = both(monkeypatch, lambda epoch=epoch: augment(images, torch.arange(64), epoch, 0).clone())
        assert torch.equal(fast, plain)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("value", ["random", "pixel"])
def test_erased_boxes_are_equal_to_the_bit(
    value: str, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    erasing, index = Erasing(probability=0.7, value=value), torch.arange(40)  # type: ignore[arg-type]
    given = torch.randn(40, 3, 19, 32).contiguous(memory_format=layout)
    for epoch in range(3):
        fast = erase(given.clone(memory_format=layout), erasing, index, epoch, 0)
        with monkeypatch.context() as patch:
            patch.setattr(native, "library", lambda: None)
            plain = erase(given.clone(memory_format=layout), erasing, index, epoch, 0)
        assert torch.equal(fast, plain) and not torch.equal(fast, given)


def test_no_image_at_all_is_none() -> None:
    none = ragged([np.zeros((4, 4, 3), np.uint8)])[torch.arange(0)]
    parts, flip = torch.zeros(0, 4, dtype=torch.int64), torch.zeros(0, dtype=torch.bool)
    assert take_parts(none, parts, flip, 8, "bilinear").shape == (0, 3, 8, 8)


@pytest.mark.parametrize("ratio", [(3.0, 4.0), (0.1, 0.3)])
def test_a_part_that_would_have_no_pixel_has_one(ratio: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> None:
    images = ragged([images_of(1, *extent)[0].permute(1, 2, 0).numpy() for extent in ((1, 1), (1, 2), (2, 1), (1, 40))])
    parts = draw_parts(RandomResizedCrop(ratio=ratio), images.height, images.width, torch.arange(4), 0, 0)
    assert (parts[:, 2:] > 0).all()
    fast, plain = both(monkeypatch, partial(take_parts, images, parts, torch.zeros(4, dtype=torch.bool), 8, "bilinear"))
    assert torch.equal(fast, plain)
