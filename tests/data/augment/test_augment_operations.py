"""Each operation against torchvision.transforms.v2.functional on the same parameters, on real photographs.

All fourteen operations, all thirty-one magnitudes of RandAugment and of TrivialAugment, both signs.

torchvision's results differ between processors in two places. Its magnitudes are float32 steps whose last bit depends
on the width of vectors and on fused multiply-add: here they have to agree to 1e-6, and both sides then get ours. Its
nearest-neighbour positions are float32 sums in the processor's own order: where the exact position lies within 1/1000
px of the middle between two pixels, that last bit decides. Such pixels are left out (of shears, whole rows); all others
must be equal.
"""

from __future__ import annotations

import math

import pytest
import torch
from photographs import data_folder, from_parquet, photographs
from torch import Tensor
from torchvision.transforms.v2 import RandAugment, TrivialAugmentWide
from torchvision.transforms.v2 import functional as tv
from torchvision.transforms.v2.functional._geometry import _get_inverse_affine_matrix

from levelfield.data.augment import affine_operations as affine
from levelfield.data.augment import colour_sharpness_cutout as colour
from levelfield.data.augment import level_operations as levels
from levelfield.data.augment.operations import Argument, Entry, Layer, Space
from levelfield.data.augment.randaugment_spaces import BINS, torchvision_space, trivial_space

LOOKUPS = {"Brightness", "Contrast", "Posterize", "Solarize", "AutoContrast", "Equalize", "Identity"}
FACTORS = {"Brightness", "Contrast", "Color", "Sharpness"}
BLENDS = {"Contrast", "Color", "Sharpness"}
"""Sums of fractions: where the exact value is a whole number, float32 may end up on either side of it."""
SIGNED = {"Brightness", "Contrast", "Color", "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"}
FORMS = {"randaugment": (torchvision_space(), RandAugment()), "trivial": (trivial_space(), TrivialAugmentWide())}
SIZES = {"32": (32, 32), "224": (224, 224), "oblong": (75, 110)}


def ours(space: Space, name: str, level: int, sign: int, images: Tensor) -> Tensor:
    count = len(images)
    number = [entry.name for entry in space.entries].index(name)
    layer = Layer(
        torch.full((count,), number),
        torch.full((count,), level, dtype=torch.float64),
        torch.full((count,), sign, dtype=torch.float64),
        torch.zeros(count, 2),
        torch.zeros(count, dtype=torch.bool),
    )
    return space.apply(images, [layer])


def argument(space: Space, name: str, level: int, sign: int, size: tuple[int, int]) -> float:
    """Our argument of an operation, 0 where it has none."""
    entry = next(entry for entry in space.entries if entry.name == name)
    each = torch.ones(1, dtype=torch.float64)
    return 0.0 if entry.argument is None else entry.argument(Argument(each * level, each * sign, *size)).item()


def theirs(
    transform: RandAugment | TrivialAugmentWide, name: str, level: int, sign: int, images: Tensor, ours: float
) -> Tensor:
    """What torchvision's own transform does to each image for this operation and magnitude, given our argument."""
    height, width = images.shape[2:]
    magnitudes, signed = transform._AUGMENTATION_SPACE[name]
    values = magnitudes(BINS, height, width)
    magnitude = 0.0 if values is None else float(values[level]) * (sign if signed else 1)
    if name == "Solarize":
        ours /= 255.0  # levels here, a share of full scale there
    elif name in FACTORS:
        ours -= 1.0  # the factor here, its distance from 1 there
    if name.startswith("Translate"):  # in whole px
        assert ours == math.trunc(magnitude + math.copysign(1e-5, magnitude)) == pytest.approx(magnitude, abs=1)
    else:
        assert ours == pytest.approx(magnitude, rel=1e-6, abs=1e-6)
    apply = transform._apply_image_or_video_transform
    return torch.stack([apply(image, name, ours, "nearest", {Tensor: None}) for image in images])


def away_from_ties(name: str, magnitude: float, height: int, width: int) -> Tensor:
    """bool (height, width): where the source position is further than 1/1000 px from the middle between two pixels.

    From torchvision's own matrix, in float64.
    """
    if name not in ("ShearX", "ShearY", "Rotate"):
        return torch.ones(height, width, dtype=torch.bool)
    degrees = math.degrees(math.atan(magnitude))
    shear = {"ShearX": [degrees, 0.0], "ShearY": [0.0, degrees]}.get(name, [0.0, 0.0])
    corner = [0.0, 0.0] if name == "Rotate" else [-width / 2, -height / 2]  # shears keep the corner in place
    angle = -magnitude if name == "Rotate" else 0.0
    a, b, c, d, e, f = _get_inverse_affine_matrix(corner, angle, [0.0, 0.0], 1.0, shear)
    x = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    y = torch.arange(height, dtype=torch.float64)[:, None] - (height - 1) / 2
    away = torch.ones(height, width, dtype=torch.bool)
    for position in (a * x + b * y + c + width / 2, d * x + e * y + f + height / 2):  # from the image's edge
        away &= (position - position.round()).abs() > 1e-3
    return away


def differ(one: Tensor, other: Tensor, by: int) -> float:
    """The largest share of values in an image that differ by more than `by` levels."""
    return ((one.int() - other.int()).abs() > by).float().flatten(1).mean(1).max().item()


@pytest.mark.parametrize("name", sorted(LOOKUPS | SIGNED))
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", SIZES)
def test_operations_equal_torchvisions(form: str, name: str, size: str) -> None:
    space, transform = FORMS[form]
    images = photographs(*SIZES[size])[: 14 if size == "32" else 2]
    every = 1 if size == "32" else 5
    for level in range(0, BINS, every):
        for sign in (1, -1) if name in SIGNED else (1,):
            got = ours(space, name, level, sign, images)
            given = argument(space, name, level, sign, SIZES[size])
            want = theirs(transform, name, level, sign, images, given)
            away = away_from_ties(name, given, *SIZES[size])
            if (name, abs(given), size) == ("Rotate", 90, "oblong"):  # an odd and an even side: all between px
                assert not away.any()
                continue
            assert away.float().mean() > 0.4
            assert differ(got[..., away], want[..., away], by=1 if name in BLENDS else 0) == 0, (level, sign)


def test_the_operations_are_torchvisions_fourteen() -> None:
    for space, transform in FORMS.values():
        assert sorted(entry.name for entry in space.entries) == sorted(transform._AUGMENTATION_SPACE)
        assert len(space.entries) == 14


@pytest.mark.parametrize("name", ["Invert", "AutoContrast", "Equalize"])
def test_flat_and_narrow_channels(name: str) -> None:
    images = photographs(32, 32)[:3].clone()
    images[0] = 77
    images[1] = images[1] // 8 + 40
    images[2, 0] = 0
    want = {"Invert": tv.invert, "AutoContrast": tv.autocontrast, "Equalize": tv.equalize}[name](images)
    space = Space([Entry(name)])
    assert torch.equal(ours(space, name, 0, 1, images), want)


@pytest.mark.parametrize("bits", range(9))
def test_posterize_keeps_bits_from_none_to_all(bits: int) -> None:
    images = photographs(32, 32)
    tables = levels.posterize(images, torch.full((len(images),), float(bits)))
    assert torch.equal(levels.look_up(images, tables.expand(-1, 3, -1)), tv.posterize(images, bits))
    assert bits > 0 or not tables.any()


@pytest.mark.parametrize("turn", [-0.5, -0.31, -0.1, 0.0, 0.02, 0.25, 0.5])
def test_hue_equals_torchvisions(turn: float) -> None:
    images = torch.cat(
        [photographs(32, 32), torch.arange(0, 256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 2, 2)]
    )
    got = colour.hue(images, torch.full((len(images),), turn, dtype=torch.float64))
    assert differ(got, tv.adjust_hue(images, turn), by=1) == 0


@pytest.mark.parametrize(("fill", "axes"), [(0, "xy"), (128, "xy"), (7, "x")])
def test_what_comes_from_outside_is_filled(fill: int, axes: affine.Axes) -> None:
    images = photographs(32, 32)
    moved = affine.nearest(images, affine.translate_x(torch.full((14,), 10.0).double(), 32, 32), axes, fill)
    assert (moved[..., :10] == fill).all() and torch.equal(moved[..., 10:], images[..., :-10])


@pytest.mark.parametrize("degrees", [-30.0, 7.5, 30.0])
def test_smooth_maps_interpolate_as_torchvision_does_away_from_the_edge(degrees: float) -> None:
    images = photographs(32, 32)
    maps = affine.rotate(torch.full((14,), degrees).double(), 32, 32)
    got = affine.smooth(images, maps, torch.zeros(14, dtype=torch.bool), (1, 2, 3))
    want = tv.rotate(images, degrees, "bilinear")
    weight = tv.rotate(torch.ones(1, 1, 32, 32), degrees, "bilinear")[0, 0]
    whole = weight > 0.999
    assert whole.sum() > 600 and differ(got[..., whole], want[..., whole], by=1) == 0
    corner = got[:, :, 0, 0]
    assert (corner == torch.tensor([1, 2, 3])).all()
    cubic = affine.smooth(images, maps, torch.arange(14) % 2 == 0, (1, 2, 3))
    assert torch.equal(cubic[1::2], got[1::2]) and not torch.equal(cubic[::2], got[::2])
    assert (cubic[::2].float() - got[::2].float()).abs().mean() < 8


def test_shear_is_by_slope_from_the_edge() -> None:
    slope = torch.tensor([0.5], dtype=torch.float64)
    a, b, c, *rest = affine.shear_x(slope, 20, 40)[0].tolist()
    assert (a, b) == (1.0, pytest.approx(0.5)) and rest == [0.0, 1.0, 0.0]
    assert c + b * -10 == pytest.approx(0) and math.isclose(affine.shear_y(slope, 20, 40)[0, 5], 10.0)


@pytest.mark.parametrize(("file", "size"), [("cifar100/test.parquet", 32), ("cub-20/test.parquet", 128)])
def test_operations_equal_torchvisions_on_data_sets(file: str, size: int) -> None:
    path = data_folder() / file
    if not path.is_file():
        pytest.skip(f"no {file} in the data folder (LEVELFIELD_DATA)")
    images = from_parquet(path, 24, size)
    space, transform = FORMS["randaugment"]
    for name in sorted(LOOKUPS | SIGNED):
        for level, sign in ((7, 1), (9, -1), (30, 1)):
            given = argument(space, name, level, sign, (size, size))
            got, want = ours(space, name, level, sign, images), theirs(transform, name, level, sign, images, given)
            away = away_from_ties(name, given, size, size)
            assert differ(got[..., away], want[..., away], by=1 if name in BLENDS else 0) == 0, (name, level)
