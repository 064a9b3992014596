"""The pipeline at its boundary: shapes, normalisation, flips, and independence of how the data is split."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from levelfield.data.augment import build_augment, build_eval_transform
from levelfield.errors import UserError
from levelfield.spec import Augment
from levelfield.spec.augment import PadCrop

CROPS = {
    "pad_crop": {"name": "pad_crop", "padding_px": 4},
    "pad_crop reflect": {"name": "pad_crop", "padding_px": 4, "fill": "reflect"},
    "random_crop": {"name": "random_crop"},
    "none": None,
}


def photos(count: int, size: int = 40) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("crop", CROPS, ids=str)
@pytest.mark.parametrize("flip", ["random", "alternate", "none"])
def test_splitting_shuffling_and_layout_change_nothing(crop: str, flip: str) -> None:
    images, index = photos(23), torch.arange(100, 123)
    augment = Augment.model_validate({"crop": CROPS[crop], "flip": flip})
    whole = build_augment(augment, 32)(images, index, 3, 7)
    assert whole.shape == (23, 3, 32, 32) and whole.dtype == torch.float32
    apply = build_augment(augment, 32, memory_format=torch.channels_last)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(2))
    for rows in [*order.split(5), order]:
        part = apply(images[rows], index[rows], 3, 7)
        assert part.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(part, whole[rows])
    if (crop, flip) != ("none", "none"):
        assert not torch.equal(whole, build_augment(augment, 32)(images, index, 4, 7))


def test_pad_crop_reaches_every_window_equally_often() -> None:
    image = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    image[0, :, 16, 16] = 255
    augment = build_augment(Augment.model_validate({"crop": CROPS["pad_crop"]}), 32, (0,) * 3, (1,) * 3)
    out = augment(image.expand(8100, -1, -1, -1), torch.arange(8100), 0, 0)[:, 0]
    counts = out.sum(0)
    assert counts[12:21, 12:21].sum() == 8100  # the bright pixel moves by -4..4 px, both ways
    chi2 = ((counts[12:21, 12:21] - 100) ** 2 / 100).sum()
    assert chi2 < 124.8  # 99.9 % point for 80 degrees of freedom


@pytest.mark.parametrize("size", [32, 33])
def test_evaluation_is_centre_crop_and_normalisation(size: int) -> None:
    images, mean, std = photos(4, 40), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    ours = build_eval_transform(Augment(), size, mean, std)(images)
    theirs = tv.normalize(tv.to_dtype(tv.center_crop(images, [size]), torch.float32, scale=True), mean, std)
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=0)
    assert torch.equal(build_augment(Augment(), size, mean, std)(images, torch.arange(4), 0, 0), ours)


@pytest.mark.parametrize(("which", "mean", "std"), [("half", 0.5, 0.5), ("imagenet", 0.485, 0.229)])
def test_named_normalisations(which: str, mean: float, std: float) -> None:
    images = photos(2, 8)
    out = build_eval_transform(Augment.model_validate({"normalize": which}), 8)(images)
    torch.testing.assert_close(out[:, 0], (images[:, 0] / 255 - mean) / std)


def test_alternate_flip_mirrors_every_other_epoch() -> None:
    images, index = photos(64, 8), torch.arange(64)
    augment = build_augment(Augment.model_validate({"flip": "alternate"}), 8)
    first, second, third = (augment(images, index, epoch, 5) for epoch in range(3))
    assert torch.equal(first, second.flip(3)) and torch.equal(first, third)
    mirrored = (first == second[0]).flatten(1).all(1)
    straight = build_augment(Augment(), 8)(images, index, 0, 5)
    flipped = (first != straight).flatten(1).any(1).sum().item()
    assert 16 < flipped < 48 and mirrored.sum() == 0


def test_random_flip_is_a_fair_coin_in_every_epoch() -> None:
    image = torch.arange(8, dtype=torch.uint8).expand(1, 3, 8, 8)
    augment = build_augment(Augment.model_validate({"flip": "random"}), 8, (0,) * 3, (1,) * 3)
    sides = torch.stack(
        [augment(image.expand(400, -1, -1, -1), torch.arange(400), e, 0)[:, 0, 0, 0] > 0 for e in (0, 1)]
    )
    assert 160 < sides[0].sum() < 240 and 160 < sides[1].sum() < 240
    assert 140 < (sides[0] != sides[1]).sum() < 260  # epochs are independent


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_memory_is_used_again_only_when_no_view_of_it_is_left(layout: torch.memory_format) -> None:
    images, index = photos(9), torch.arange(9)
    spec = Augment.model_validate({"crop": CROPS["pad_crop"], "erasing": {"probability": 0.5}})
    augment = build_augment(spec, 32, memory_format=layout)
    first = augment(images, index, 0, 0)
    assert first.is_contiguous(memory_format=layout)
    address, part, want = first.data_ptr(), first[3:5, 1], first[3:5, 1].clone()
    del first
    others = [augment(images, index, epoch, 0) for epoch in (1, 2, 3)]
    assert torch.equal(part, want)
    assert address not in [other.data_ptr() for other in others]
    again = build_augment(spec, 32, memory_format=layout)
    address = again(images, index, 0, 0).data_ptr()
    assert again(images[:5], index[:5], 1, 0).data_ptr() == address
    assert torch.equal(again(images, index, 1, 0), others[0])


def test_images_that_are_too_small_are_named() -> None:
    for build in (Augment(), Augment.model_validate({"crop": CROPS["random_crop"]})):
        with pytest.raises(UserError, match="24x24 px cannot be cropped to 32 px"):
            build_augment(build, 32)(photos(1, 24), torch.arange(1), 0, 0)
    with pytest.raises(UserError, match="resize_px"):
        build_eval_transform(Augment(), 32)(photos(1, 24))


SMALL = {
    **{f"crop {name}": {"crop": crop} for name, crop in CROPS.items()},
    "crop reflect 1": {"crop": {"name": "pad_crop", "padding_px": 1, "fill": "reflect"}},
    "crop resized": {"crop": {"name": "random_resized_crop"}},
    "crop resized bicubic": {"crop": {"name": "random_resized_crop", "interpolation": "bicubic"}},
    **{f"policy {form}": {"policy": {"name": "randaugment", "form": form}} for form in ("torchvision", "timm", "uda")},
    "policy trivial": {"policy": {"name": "trivial_augment_wide"}},
    "jitter": {"color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}},
    "erasing": {"erasing": {"probability": 1.0}},
}


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("name", SMALL)
def test_the_smallest_images_are_augmented_or_refused_in_words(name: str, size: int) -> None:
    augment = Augment.model_validate(SMALL[name])
    apply = build_augment(augment, size)
    reflected = augment.crop.padding_px if isinstance(augment.crop, PadCrop) and augment.crop.fill == "reflect" else 0
    for epoch in range(3):
        if reflected >= size:
            with pytest.raises(UserError, match=f"cannot reflect {reflected} px of an image of {size} px"):
                apply(photos(32, size), torch.arange(32), epoch, 0)
        else:
            out = apply(photos(32, size), torch.arange(32), epoch, 0)
            assert out.shape == (32, 3, size, size) and bool(out.isfinite().all())
