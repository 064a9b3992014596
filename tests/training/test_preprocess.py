"""`load_run(...).preprocess` is the decoder of training: the same pixels from a path, bytes and a PIL image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_run import run_spec

import levelfield as lf
from levelfield.errors import UserError
from levelfield.training import prepare, train_prepared
from levelfield.training.batch_inputs import evaluation_transform
from levelfield.training.load_finished_run import LoadedRun

OddRun = tuple[Path, torch.Tensor, LoadedRun]

PIXELS = np.random.default_rng(1).integers(0, 256, (20, 14, 3), dtype=np.uint8)
GREY16 = np.arange(280, dtype=np.uint16).reshape(20, 14) * 230


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


KINDS = {
    "plain.png": (Image.fromarray(PIXELS), {}),
    "exif.jpg": (Image.fromarray(PIXELS), {"exif": turned()}),
    "cmyk.jpg": (Image.fromarray(PIXELS).convert("CMYK"), {}),
    "palette.png": (Image.fromarray(PIXELS).convert("P", palette=Image.Palette.ADAPTIVE, colors=9), {}),
    "clear palette.gif": (Image.fromarray(PIXELS).quantize(9), {"transparency": 2}),
    "alpha.png": (Image.fromarray(np.dstack([PIXELS, PIXELS[..., :1]])), {}),
    "grey and alpha.png": (Image.fromarray(PIXELS[..., 0]).convert("LA"), {}),
    "16-bit grey.png": (Image.fromarray(GREY16), {}),
    "grey.jpg": (Image.fromarray(PIXELS[..., 0]), {}),
    "bilevel.png": (Image.fromarray(PIXELS[..., 0] > 99), {}),
}


def write_every_kind(folder: Path) -> None:
    """An image of every kind in each split, in two classes."""
    for split in ("train", "test"):
        for number, (name, (image, options)) in enumerate(KINDS.items()):
            path = folder / split / "ab"[number % 2] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path, **options)


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory: pytest.TempPathFactory) -> OddRun:
    """A folder of images of every kind, its test images as a run on it saw them, and that run read back."""
    root = tmp_path_factory.mktemp("odd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEVELFIELD_CACHE", str(root / "cache"))
        write_every_kind(root / "images")
        prepared = prepare(
            run_spec(f"data.name=folder:{root / 'images'}", "data.resize_px=19", "data.train_limit=null",
                     "data.test_limit=null", "recipe.batch_size=4", "recipe.validation=0.0")
        )  # fmt: skip
        run = train_prepared(prepared, root / "run")
        data = prepared.data
        seen = evaluation_transform(prepared.spec.recipe, data, 16, channels_last=False)(
            data.test.read(torch.arange(len(data.test)))
        )
    return root, seen, lf.load_run(run.folder.path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given_as", ["path", "text", "bytes", "PIL"])
def test_an_image_is_seen_as_the_test_images_were(kind: str, given_as: str, odd_run: OddRun) -> None:
    root, seen, loaded = odd_run
    path = next((root / "images" / "test").glob(f"*/{kind}"))
    image = {"path": path, "text": str(path), "bytes": path.read_bytes(), "PIL": None}[given_as] or Image.open(path)
    got = loaded.preprocess(image)
    assert got.shape == (1, 3, 16, 16)
    assert any(torch.equal(got[0], one) for one in seen)


def test_an_image_that_cannot_be_read_is_named(odd_run: OddRun, tmp_path: Path) -> None:
    loaded = odd_run[2]
    (tmp_path / "broken.png").write_bytes(b"<html>")
    for image, message in (
        (tmp_path / "broken.png", r"broken\.png cannot be decoded: not an image"),
        (str(tmp_path / "absent.png"), r"absent\.png cannot be read: No such file"),
        (b"", "the image cannot be decoded: the file is empty"),
        (Image.fromarray(np.ones((4, 4), np.float32)), "the image cannot be decoded: floating-point"),
    ):
        with pytest.raises(UserError, match=message):
            loaded.preprocess(image)
