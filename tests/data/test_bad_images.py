"""Damaged and odd images: decoded rightly, or named; never a crash, never a silent gap."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from made_images import encode, random_images
from PIL import Image

from levelfield.data import open_data
from levelfield.data.checks.dataset_check import check_data
from levelfield.data.sources.decode import BadImageError, decode
from levelfield.data.store.resize import Fit
from levelfield.errors import UserError
from levelfield.spec import DataSpec

PIXELS = random_images(1, 6, 9)[0]


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def smooth() -> np.ndarray:
    """A picture that JPEG keeps nearly as it is."""
    return np.stack([np.tile(np.linspace(20, 200 + 20 * c, 48), (32, 1)) for c in range(3)], axis=2).astype(np.uint8)


GREY16 = np.arange(54, dtype=np.uint16).reshape(6, 9) * 1200


@pytest.mark.parametrize(
    "data, expected",
    [
        (encode(PIXELS), PIXELS),
        (encode(PIXELS, "WEBP", lossless=True), PIXELS),
        (encode(PIXELS, "BMP"), PIXELS),
        (encode(PIXELS, "TIFF"), PIXELS),
        (saved(Image.fromarray(PIXELS[..., 0]), "PNG"), np.repeat(PIXELS[..., :1], 3, axis=2)),
        (saved(Image.fromarray(PIXELS[..., 0] > 127), "PNG"), np.repeat((PIXELS[..., :1] > 127) * 255, 3, axis=2)),
        (saved(Image.fromarray(GREY16), "PNG"), np.repeat((GREY16 >> 8)[..., None], 3, axis=2)),
        (saved(Image.fromarray(GREY16), "TIFF"), np.repeat((GREY16 >> 8)[..., None], 3, axis=2)),
        (encode(random_images(1, 1)[0]), random_images(1, 1)[0]),
    ],
    ids=["PNG", "WebP", "BMP", "TIFF", "grey", "bilevel", "16-bit-PNG", "16-bit-TIFF", "1x1"],
)
def test_lossless_forms_are_decoded_exactly(data: bytes, expected: np.ndarray) -> None:
    assert np.array_equal(decode(data)[0], expected)


def test_a_palette_is_looked_up() -> None:
    few = (PIXELS // 128 * 255).astype(np.uint8)
    image = Image.fromarray(few).convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    assert np.array_equal(decode(saved(image, "PNG"))[0], np.asarray(image.convert("RGB")))


def test_transparency_is_laid_over_white() -> None:
    layer = np.dstack([PIXELS, np.where(np.arange(9) < 4, 0, 255).astype(np.uint8)[None].repeat(6, 0)])
    shown = decode(saved(Image.fromarray(layer), "PNG"))[0]
    assert (shown[:, :4] == 255).all() and np.array_equal(shown[:, 4:], PIXELS[:, 4:])


def test_an_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its right side: turn by a quarter to the right
    turned = decode(encode(smooth(), "JPEG", quality=95, exif=exif))[0]
    assert turned.shape == (48, 32, 3)
    assert np.abs(turned.astype(int) - np.rot90(smooth(), -1)).max() <= 6


def test_cmyk_becomes_rgb() -> None:
    shown = decode(saved(Image.fromarray(smooth()).convert("CMYK"), "JPEG", quality=95))[0]
    assert np.abs(shown.astype(int) - smooth()).max() <= 8


def huge_png() -> bytes:
    """A valid header that promises 40,000 x 40,000 pixels in a few bytes."""
    data = bytearray(encode(PIXELS))
    data[16:24] = (40_000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


BAD = {
    "empty": (b"", "empty (0 bytes)"),
    "truncated JPEG": (encode(random_images(1, 64)[0], "JPEG")[:900], "damaged"),
    "truncated PNG": (encode(random_images(1, 64)[0])[:900], "damaged"),
    "text": (b"<html>not found</html>", "not an image in a known format"),
    "far too large": (huge_png(), "far too large"),
    "floating point": (saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "no stated range"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_decoded_says_why(case: str) -> None:
    data, reason = BAD[case]
    with pytest.raises(BadImageError, match=reason.replace("(", r"\(").replace(")", r"\)")):
        decode(data)


def folder_with_bad_images(root: Path) -> Path:
    for split in ("train", "test"):
        for row, pixels in enumerate(random_images(12, 8, seed=len(split))):
            path = root / "odd" / split / "ab"[row % 2] / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(pixels))
    for number, (data, _) in enumerate(BAD.values()):
        (root / "odd" / "train" / "a" / f"bad{number}.png").write_bytes(data)
    return root


def test_a_bad_image_stops_the_reading_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a/bad0.png: the file is empty(.|\n)*--set data.on_bad_image=skip"):
        open_data(DataSpec(name="odd"), folder_with_bad_images(tmp_path))


def test_skipped_images_are_counted_and_the_others_are_right(tmp_path: Path) -> None:
    data = open_data(DataSpec(name="odd", on_bad_image="skip"), folder_with_bad_images(tmp_path))
    assert (len(data.train), len(data.test)) == (12, 12)
    assert f"{len(BAD)} images that do not decode are left out" in data.notes
    pixels = random_images(12, 8, seed=5)
    labels = {image.tobytes(): row % 2 for row, image in enumerate(pixels)}
    shown = data.train.read(torch.arange(12)).permute(0, 2, 3, 1).numpy()
    assert [labels[image.tobytes()] for image in shown] == data.train.labels.tolist()


def test_one_image_that_is_left_out_is_said_in_the_singular(tmp_path: Path) -> None:
    root = folder_with_bad_images(tmp_path)
    for number in range(1, len(BAD)):
        (root / "odd" / "train" / "a" / f"bad{number}.png").unlink()
    assert "1 image that does not decode is left out" in check_data("odd", root).notes


def test_check_names_each_bad_image_and_does_not_fail(tmp_path: Path) -> None:
    report = check_data("odd", folder_with_bad_images(tmp_path))
    bad = dict(report.splits["train"].bad)
    assert list(bad) == [f"a/bad{number}.png" for number in range(len(BAD))]
    assert all(reason in bad[f"a/bad{number}.png"] for number, (_, reason) in enumerate(BAD.values()))
    assert report.splits["train"].count == 12


@pytest.mark.parametrize("kind", ["resize", "pad", "crop"])
@pytest.mark.parametrize("shape", [(6, 9), (40, 21), (1, 1), (16, 16), (3, 100)])
def test_each_fit_gives_the_side_asked_for(kind: str, shape: tuple[int, int]) -> None:
    fitted = Fit(kind, 16).apply(random_images(1, *shape)[0])  # type: ignore[arg-type]
    assert fitted.shape == (16, 16, 3) and fitted.dtype == np.uint8


def test_pad_centres_on_black_and_crop_keeps_the_centre() -> None:
    small = random_images(1, 6, 8)[0]
    padded = Fit("pad", 16).apply(small)
    assert np.array_equal(padded[5:11, 4:12], small)
    assert int(padded.sum()) == int(small.sum())
    wide = random_images(1, 16, 40)[0]
    assert np.array_equal(Fit("crop", 16).apply(wide), wide[:, 12:28])
