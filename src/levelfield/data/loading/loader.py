"""The two loaders and their one contract: which samples, in which order, as uint8 batches on the device.

Position p of an epoch's global order belongs to step p // batch_size and to rank p % world; the order is a keyed
permutation of (seed, epoch). Nothing here has state, so that an epoch can be entered at any step, and the batches are
the same for any number of workers and from either loader.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from levelfield import randomness
from levelfield.data.ragged_images import Ragged
from levelfield.data.store.splits import Split, centre_crop
from levelfield.data.to_device import input_device, to_device
from levelfield.errors import UserError
from levelfield.units import size

Images = Tensor | Ragged
"""uint8 (b, 3, H, W), or a ragged batch where a random resized crop takes images of their own sizes."""

Batch = tuple[Images, Tensor, Tensor]
"""(images, labels int64 (b,), sample_index int64 (b,)): the first two on the loader's device.

The sample index stays on the CPU, where augmentation takes its decisions."""

Kind = Literal["auto", "resident", "streamed"]

PREFETCH: Final = 4
"""Batches that each worker of the streamed loader reads ahead."""


@dataclass(eq=False)
class Loader(ABC):
    """Batches of `split` by (epoch, step); see `make_loader` for the arguments. `kind` and `why` say how it reads."""

    split: Split
    batch_size: int
    seed: int
    shuffle: bool
    device: torch.device
    rank: int
    world: int
    kind: str
    why: str
    target: torch.device = field(init=False)
    """Where the network is that the batches are for: `device`, but for MPS (see `input_device`)."""

    def __post_init__(self) -> None:
        self.target = self.device
        self._labels = self.split.labels.to(self.device)
        self._latest_order = (-1, torch.empty(0, dtype=torch.int64))

    def __len__(self) -> int:
        """Steps in an epoch; the last batch may be short."""
        return -(-len(self.split) // self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """The global order of one epoch: positions in the split, int64 (N,) on the CPU."""
        if self._latest_order[0] != epoch:  # a memo of a pure function: ranks ask for it at every step
            count = len(self.split)
            order = randomness.permutation(count, self.seed, "order", epoch) if self.shuffle else torch.arange(count)
            self._latest_order = (epoch, order)
        return self._latest_order[1]

    def global_positions(self, epoch: int, step: int) -> Tensor:
        """The positions in the split of the whole global batch of one step, int64 (b,)."""
        return self.order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    @abstractmethod
    def fetch(self, positions: Tensor) -> Batch:
        """The samples at any positions of the split, as a batch on the device."""

    @abstractmethod
    def epoch(self, epoch: int, from_step: int = 0) -> Iterator[Batch]:
        """This rank's batches of one epoch from `from_step` on; its part of a short last batch may be empty."""

    def _own(self, epoch: int, from_step: int) -> list[Tensor]:
        """The positions of this rank's part of each batch from `from_step` on."""
        order = self.order(epoch)
        starts = range(from_step * self.batch_size, len(order), self.batch_size)
        return [order[s : s + self.batch_size][(self.rank - s) % self.world :: self.world] for s in starts]


class ResidentLoader(Loader):
    """The whole split as uint8 on the device: a batch is one `index_select`. On the CPU a stored split stays mapped."""

    def __post_init__(self) -> None:
        super().__post_init__()
        split, every = self.split, torch.arange(len(self.split))
        images: Images
        if (whole := split.pixels.whole()) is None:
            images, rows, self._crop_px = split.batch(every), every, None
            if isinstance(images, Ragged) and self.device.type != "cpu":
                images = images.compact()  # what the split leaves out of the store need not be on the device
        else:
            images, rows, self._crop_px = whole, split.rows, split.crop_px
            if self.device.type != "cpu" and len(split) < len(whole):
                images, rows = whole.index_select(0, rows), every
        self._images = images.to(self.device)
        self._rows = rows.to(self.device)

    def fetch(self, positions: Tensor) -> Batch:
        here = to_device(positions, self.device)
        if isinstance(self._images, Ragged):
            return self._images[positions], self._labels[here], self.split.index[positions]
        images = centre_crop(self._images.index_select(0, self._rows[here]), self._crop_px)
        return images, self._labels[here], self.split.index[positions]

    def epoch(self, epoch: int, from_step: int = 0) -> Iterator[Batch]:
        return (self.fetch(positions) for positions in self._own(epoch, from_step))


class _BatchReader(Dataset["Images | str"]):
    """A worker's view: item i is the image batch of the i-th list of positions, or the message of what went wrong.

    Errors travel as text, because torch would bury their message in the worker's traceback.
    """

    def __init__(self, split: Split, batches: list[Tensor]) -> None:
        self._split, self._batches = split, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> Images | str:
        try:
            images = self._split.batch(self._batches[number])
            return images.compact() if isinstance(images, Ragged) else images
        except UserError as error:
            return str(error)


@dataclass(eq=False)
class StreamedLoader(Loader):
    """Batches read (and decoded, where the split is encoded) ahead in `workers` processes, pinned for CUDA."""

    workers: int

    def fetch(self, positions: Tensor) -> Batch:
        return self._batch(self.split.batch(positions), positions)

    def epoch(self, epoch: int, from_step: int = 0) -> Iterator[Batch]:
        batches = self._own(epoch, from_step)
        loader = DataLoader(
            _BatchReader(self.split, batches),
            batch_size=None,
            shuffle=False,
            num_workers=self.workers,
            prefetch_factor=PREFETCH if self.workers else None,
            pin_memory=self.device.type == "cuda",
        )
        for images, positions in zip(loader, batches, strict=True):
            if isinstance(images, str):
                raise UserError(images)
            yield self._batch(images, positions)

    def _batch(self, images: Images, positions: Tensor) -> Batch:
        here = to_device(positions, self.device)
        there = images.to(self.device) if isinstance(images, Ragged) else to_device(images, self.device)
        return there, self._labels[here], self.split.index[positions]


def make_loader(
    split: Split,
    *,
    batch_size: int,
    seed: int,
    shuffle: bool,
    device: torch.device | str = "cpu",
    kind: Kind = "auto",
    workers: int = 0,
    resident_budget_mib: float = 4096,
    rank: int = 0,
    world: int = 1,
) -> Loader:
    """A loader over `split`. `batch_size` is that of the global batch over all `world` ranks.

    `kind` "auto" takes the resident loader where the images fit `resident_budget_mib` on the device, else the streamed
    one with `workers` processes; the loader's `why` says so in words.
    """
    device = torch.device(device)
    mib = split.nbytes / 2**20
    if kind == "auto":
        chosen = "resident" if mib <= resident_budget_mib else "streamed"
        relation = "fit" if chosen == "resident" else "exceed"
        where = {"resident": "kept in memory (resident)", "streamed": "read as they are needed (streamed)"}[chosen]
        budget = f"{relation} the budget of {resident_budget_mib:,.0f} MiB"
        why = f"{where}: {len(split):,} images, {size(mib)}, {budget}"
    else:
        chosen, why = kind, f"{kind}: as asked"
    common = (split, batch_size, seed, shuffle, input_device(device), rank, world, chosen, why)
    loader = ResidentLoader(*common) if chosen == "resident" else StreamedLoader(*common, workers)
    loader.target = device
    return loader
