"""Real photographs for the tests: scikit-learn's two, and CIFAR-100 and CUB where the data folder is present."""

from __future__ import annotations

import io
import os
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torchvision.transforms.v2 import functional as tv


@cache
def photographs(height: int, width: int) -> Tensor:
    """uint8 (n,3,height,width): the whole of two photographs and twelve parts of them at full resolution."""
    whole = [torch.from_numpy(array.copy()).permute(2, 0, 1) for array in load_sample_images().images]
    scaled = [tv.resize(photo, [height, width], antialias=True) for photo in whole]
    corners = [(60 * k, 90 * k) for k in range(3)] + [(150, 300), (180, 0), (10, 380)]
    parts = [photo[:, y : y + height, x : x + width] for photo in whole for y, x in corners]
    return torch.stack(scaled + parts)


def data_folder() -> Path:
    return Path(os.environ.get("LEVELFIELD_DATA", Path(__file__).parents[4] / "shared" / "data"))


def from_parquet(path: Path, count: int, size: int) -> Tensor:
    """The first `count` images of a Parquet file, centre-cropped to `size` px: uint8 (count,3,size,size)."""
    from pyarrow import parquet

    column = next(parquet.ParquetFile(path).iter_batches(batch_size=count, columns=["image"])).column(0)
    decoded = [Image.open(io.BytesIO(cell["bytes"].as_py())).convert("RGB") for cell in column]
    return torch.stack([tv.center_crop(torch.from_numpy(np.array(i)).permute(2, 0, 1), [size, size]) for i in decoded])
