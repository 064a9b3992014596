"""Random resized crops come from whole images at their aspect ratio, stored or decoded on reading, by any loader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_images import encode
from PIL import Image

from levelfield.data import build_augment, make_loader, open_data
from levelfield.data.ragged_images import Ragged
from levelfield.data.store.pixel_storage import MappedPixels
from levelfield.data.store.store import STORE_LIMIT_GIB
from levelfield.data.store.whole_images import EncodedWhole, MappedWhole
from levelfield.spec import Augment, DataSpec
from levelfield.spec.augment import PadCrop, RandomResizedCrop
from levelfield.training import prepare

SIZES = [(40, 30), (24, 60), (33, 33), (90, 31), (20, 45), (64, 48)]


def picture(row: int) -> np.ndarray:
    height, width = SIZES[row % len(SIZES)]
    return np.random.default_rng(row).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def spec(tmp_path: Path) -> DataSpec:
    for split, count in (("train", 24), ("test", 8)):
        for row in range(count):
            path = tmp_path / "odd" / split / "ab"[row % 2] / f"{row:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(picture(row + len(split))))
    return DataSpec(name=f"folder:{tmp_path / 'odd'}", image_size=16, resize_px=20, fit="crop", validation=0.25)


def images_of(batch: torch.Tensor | Ragged) -> list[np.ndarray]:
    assert isinstance(batch, Ragged)
    return [
        batch.flat[start : start + 3 * height * width].view(3, height, width).permute(1, 2, 0).numpy()
        for start, height, width in zip(batch.start.tolist(), batch.height.tolist(), batch.width.tolist(), strict=True)
    ]


@pytest.mark.parametrize("pixels", ["store", "encoded"])
@pytest.mark.parametrize("source_px", [None, 28])
def test_train_images_stay_whole_and_evaluation_ones_are_fitted(
    spec: DataSpec, pixels: str, source_px: int | None
) -> None:
    data = open_data(spec, crop=RandomResizedCrop(source_px=source_px, interpolation="bicubic"), pixels=pixels)
    assert isinstance(data.train.pixels, MappedWhole if pixels == "store" else EncodedWhole)
    plain = open_data(spec)
    assert data.validation is not None and plain.validation is not None
    for one, other in ((data.validation, plain.validation), (data.test, plain.test)):
        assert torch.equal(one.read(torch.arange(len(one))), other.read(torch.arange(len(other))))
        assert one.side_px == 16
    assert torch.equal(data.train.index, plain.train.index) and data.checksum == plain.checksum
    expected = set()
    for row in range(24):
        image = Image.fromarray(picture(row + len("train")))
        short = min(image.size)
        if source_px is not None and short > source_px:
            image = image.resize([round(side * source_px / short) for side in image.size], Image.Resampling.BICUBIC)
        expected.add(np.asarray(image).tobytes())
    found = images_of(data.train.batch(torch.arange(len(data.train))))
    assert len(found) == 18 and {image.tobytes() for image in found} <= expected
    assert data.train.nbytes == pytest.approx(sum(image.size for image in found), rel=0.35)


@pytest.mark.parametrize("pixels", ["store", "encoded"])
def test_all_loaders_give_the_same_crops(spec: DataSpec, pixels: str) -> None:
    augment = build_augment(Augment.parse({"crop": {"name": "random_resized_crop"}, "flip": "random"}), 16)
    data = open_data(spec, crop=RandomResizedCrop(), pixels=pixels)
    seen = []
    for kind, workers in (("resident", 0), ("streamed", 0), ("streamed", 2)):
        loader = make_loader(data.train, batch_size=7, seed=3, shuffle=True, kind=kind, workers=workers)
        batches = [augment(images, index, 1, 2) for images, _, index in loader.epoch(1)]
        assert [len(batch) for batch in batches] == [7, 7, 4]
        seen.append(torch.cat(batches))
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[0], seen[2])
    ranks = [make_loader(data.train, batch_size=7, seed=3, shuffle=True, rank=rank, world=2) for rank in (0, 1)]
    of_ranks = [augment(images, index, 1, 2) for rank in ranks for images, _, index in rank.epoch(1)]
    assert sorted(map(hash_of, torch.cat(of_ranks))) == sorted(map(hash_of, seen[0]))


def hash_of(image: torch.Tensor) -> bytes:
    return image.numpy().tobytes()


def test_squares_of_one_size_and_other_crops_keep_their_path() -> None:
    digits = DataSpec(name="digits", image_size=16)
    plain = open_data(digits)
    assert torch.equal(open_data(digits, crop=PadCrop()).train.read(torch.arange(9)), plain.train.read(torch.arange(9)))
    data = open_data(digits, crop=RandomResizedCrop())
    assert isinstance(data.train.pixels, MappedPixels) and data.train.side_px == 8  # their own size, not made larger
    assert open_data(digits, crop=RandomResizedCrop(source_px=5)).train.side_px == 5
    assert data.test.side_px == 16


def test_a_run_with_the_crop_trains_on_whole_images(spec: DataSpec) -> None:
    from levelfield.spec import RunSpec

    run = RunSpec.parse(
        {"model": {"name": "resnet_nano"}, "data": spec.model_dump(), "budget": {"epochs": 1},
         "recipe": {"augment": {"crop": {"name": "random_resized_crop"}}}, "execution": {"device": "cpu"}},
        "run",
    )  # fmt: skip
    assert isinstance(prepare(run).data.train.pixels, MappedWhole)
    assert "resized-crops-of-whole-images" in run.science()["revisions"]


def test_what_would_not_fit_the_store_is_read_encoded(spec: DataSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    assert STORE_LIMIT_GIB > 1
    monkeypatch.setattr("levelfield.data.loading.open_data.STORE_LIMIT_GIB", 1e-6)
    assert isinstance(open_data(spec, crop=RandomResizedCrop()).train.pixels, EncodedWhole)
