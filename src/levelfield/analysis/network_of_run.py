"""The network of a finished run as a function of pictures: uint8 in, logits out, seen as its test images were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from levelfield.data import ImageData, Split, open_data
from levelfield.data.augment import build_eval_transform
from levelfield.data.to_device import to_device
from levelfield.errors import UserError
from levelfield.randomness import permutation
from levelfield.training.device import choose_device
from levelfield.training.load_finished_run import load_run
from levelfield.training.network_on_device import network_on

BATCH: Final = 250


class NetworkOfRun:
    """The network of the finished run in `path`, on a device, in the run's precision."""

    def __init__(self, path: Path, device: str = "auto") -> None:
        self.run, self.target = load_run(path), choose_device(device)
        self.network, self.dtype, form = network_on(self.run, self.target)
        described, size = self.run.folder.description(), self.run.spec.model.image_size
        assert size is not None
        self.side_px = size
        self.transform = build_eval_transform(
            self.run.spec.recipe.augment, size, described["mean"], described["std"], memory_format=form
        )

    @torch.inference_mode()
    def logits(self, images: Tensor) -> NDArray[np.float32]:
        """float32 (B, C) of uint8 `images` (B, 3, H, W), H and W at least the network's side."""
        batch = to_device(self.transform(images), self.target)
        with torch.autocast(self.target.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = self.network(batch).float()
        found: NDArray[np.float32] = logits.cpu().numpy()
        return found

    def logits_of(self, split: Split, positions: Tensor) -> NDArray[np.float32]:
        """float32 (N, C) of the images of `split` at int64 `positions` (N,)."""
        return np.concatenate([self.logits(split.read(some)) for some in batches(positions)])

    def own_data(self, data_dir: str | None) -> ImageData:
        """The data that the run was trained on. Raises UserError for what no name stands for, and for other content."""
        spec = self.run.spec
        if self.run.own_data:
            raise UserError(f"{self.run.folder.path} was trained on data of your own, which no name stands for")
        data = open_data(spec.data, data_dir or spec.execution.data_dir)
        if data.checksum != spec.data.checksum:
            raise UserError(
                f"data {spec.data.name!r} is not what {self.run.folder.path} was trained on\n"
                "point --data-dir at the same data"
            )
        return data

    def other_data(self, name: str, data_dir: str | None) -> ImageData:
        """The data set `name`, fitted as the run's own images were, whatever its classes."""
        spec = self.run.spec
        wanted = {"name": name, "checksum": None, "train_limit": None, "test_limit": None, "validation": 0.0}
        return open_data(spec.data.changed(wanted), data_dir or spec.execution.data_dir)


def batches(positions: Tensor) -> Iterator[Tensor]:
    """`positions` (N,) in batches of at most BATCH."""
    return iter(torch.split(positions, BATCH))


def drawn(split: Split, images: int | None, seed: int) -> Tensor:
    """Positions (N,) of `images` of `split` drawn by `seed`, ascending; of all for None, or where there are no more."""
    if images is None or images >= len(split):
        return torch.arange(len(split))
    return torch.sort(permutation(len(split), seed, "analysed images", 0)[:images]).values
