"""The loaders: same batches from both, whatever the workers, ranks or point of entry."""

from __future__ import annotations

import pytest
import torch
from made_images import encode, random_images

from levelfield.data import Batch, Loader, Split, from_arrays, make_loader
from levelfield.data.sources.readers.contract import ArrayRecords
from levelfield.data.store.pixel_storage import EncodedPixels
from levelfield.data.store.resize import Fit
from levelfield.errors import UserError

COUNT, BATCH, SIDE = 53, 8, 6


@pytest.fixture
def split() -> Split:
    images = torch.from_numpy(random_images(COUNT, SIDE)).permute(0, 3, 1, 2)
    labels = torch.arange(COUNT) % 5
    return from_arrays((images, labels), (images[:5], labels[:5])).train


def loader_of(split: Split, kind: str = "resident", **more: object) -> Loader:
    return make_loader(split, **{"batch_size": BATCH, "seed": 3, "shuffle": True, "kind": kind} | more)  # type: ignore[arg-type]


def assert_same(left: list[Batch], right: list[Batch]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_an_epoch_shows_every_sample_once_with_its_own_label_and_pixels(split: Split) -> None:
    loader = loader_of(split)
    batches = list(loader.epoch(0))
    assert len(batches) == len(loader) == 7
    assert [len(index) for _, _, index in batches] == [8] * 6 + [5]
    index = torch.cat([index for _, _, index in batches])
    assert index.sort().values.tolist() == list(range(COUNT))
    assert index.tolist() != list(range(COUNT))
    assert torch.equal(torch.cat([labels for _, labels, _ in batches]), split.labels[index])
    assert torch.equal(torch.cat([images for images, _, _ in batches]), split.read(index))


def test_epochs_and_seeds_differ_and_repeat(split: Split) -> None:
    orders = [loader_of(split, seed=seed).order(epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert loader_of(split, seed=1).order(1).tolist() == orders[3]
    assert loader_of(split, shuffle=False).order(1).tolist() == list(range(COUNT))


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_equal_resident_ones(split: Split, workers: int) -> None:
    pixels = split.read(torch.arange(COUNT)).permute(0, 2, 3, 1).numpy()
    records = ArrayRecords(pixels, split.labels.numpy())
    rows = torch.arange(COUNT)  # `read` gives the order of the split
    encoded = Split("train", EncodedPixels(records, Fit("resize", SIDE)), rows, split.labels, split.index)
    assert_same(list(loader_of(split).epoch(2)), list(loader_of(encoded, "streamed", workers=workers).epoch(2)))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_goes_bad_is_named_from_within_a_worker(workers: int) -> None:
    class Gone(ArrayRecords):
        def item(self, row: int) -> bytes:
            return b"" if row == 40 else encode(self.pixels[row])

        def name(self, row: int) -> str:
            return f"owl/{row}.jpg"

    rows = torch.arange(COUNT)
    records = Gone(random_images(COUNT, SIDE), rows.numpy())
    split = Split("train", EncodedPixels(records, Fit("resize", SIDE)), rows, rows, rows)
    with pytest.raises(UserError, match=r"^owl/40.jpg could be decoded before and cannot now: the file is empty"):
        list(loader_of(split, "streamed", workers=workers).epoch(0))


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_an_epoch_can_be_entered_at_any_step(split: Split, kind: str) -> None:
    loader = loader_of(split, kind)
    assert_same(list(loader.epoch(1))[4:], list(loader.epoch(1, from_step=4)))
    assert list(loader.epoch(1, from_step=len(loader))) == []


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("batch_size", [6, 7])
def test_ranks_share_each_global_batch_without_overlap(split: Split, world: int, batch_size: int) -> None:
    whole = loader_of(split, batch_size=batch_size)
    parts = [list(loader_of(split, batch_size=batch_size, rank=r, world=world).epoch(0)) for r in range(world)]
    for step, (_, _, index) in enumerate(whole.epoch(0)):
        shares = [part[step][2].tolist() for part in parts]
        for rank, share in enumerate(shares):
            places = [place for place in range(len(index)) if (step * batch_size + place) % world == rank]
            assert share == index[places].tolist()


def test_any_rank_can_fetch_the_whole_global_batch(split: Split) -> None:
    whole = list(loader_of(split).epoch(5))
    rank = loader_of(split, rank=1, world=2)
    assert_same([whole[6]], [rank.fetch(rank.global_positions(5, 6))])


def test_a_subset_keeps_the_identity_of_its_samples(split: Split) -> None:
    subset = split.subset(torch.tensor([50, 7, 21]))
    (images, labels, index) = next(iter(loader_of(subset, shuffle=False).epoch(0)))
    assert index.tolist() == [50, 7, 21]
    assert torch.equal(labels, split.labels[index])
    assert torch.equal(images, split.read(index))


def test_auto_says_what_it_chose_and_why(split: Split) -> None:
    fits, exceeds = loader_of(split, "auto"), loader_of(split, "auto", resident_budget_mib=0.001)
    assert (fits.kind, exceeds.kind) == ("resident", "streamed")
    assert "fit the budget" in fits.why and "exceed the budget" in exceeds.why
