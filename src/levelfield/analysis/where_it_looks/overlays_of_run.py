"""Where the network of one run looks in test images: Grad-CAM for the class that it takes each for, and rollout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from levelfield.analysis.network_of_run import NetworkOfRun
from levelfield.analysis.where_it_looks.attention_rollout import attention_of, reads, rolled_out
from levelfield.analysis.where_it_looks.grad_cam import grad_cam
from levelfield.analysis.where_it_looks.overlay_picture import overlaid, picture
from levelfield.analysis.where_it_looks.spatial_map import last_map
from levelfield.data.to_device import to_device
from levelfield.errors import UserError

NO_MAP = "no module of it has a map with places of the image"


def overlays_of_run(path: Path, indices: list[int], device: str, data_dir: str | None) -> dict[str, Any]:
    """Of the finished run in `path`: `layer` that Grad-CAM is of, what rollout is `read` at (None: there is none), and
    `images`, the test images `indices` in that order; or `why` there are none. In float32, whatever its precision.

    Raises UserError for an index that is none of the run's test images.
    """
    run = NetworkOfRun(path, device)
    test = run.own_data(data_dir).test
    place = {int(index): at for at, index in enumerate(test.index)}
    if unknown := [index for index in indices if index not in place]:
        raise UserError(f"the test images of {path} have no image {unknown[0]}\nthere are {len(test):,} of them")
    positions = torch.tensor([place[index] for index in indices])
    images = test.read(positions)
    batch = to_device(run.transform(images), run.target)
    of = last_map(run.network, batch[:2])
    if of is None:
        return {"why": NO_MAP}
    with torch.no_grad(), attention_of(run.network) as layers:
        probabilities = run.network(batch).softmax(1).cpu()
    read = reads(run.network)
    classes = [int(one) for one in probabilities.argmax(1)]
    maps = {"grad_cam": grad_cam(run.network, batch, classes, of), "rollout": None}
    if read is not None:
        maps["rollout"] = stretched(rolled_out(layers, read))
    names, labels = run.run.classes, test.labels[positions]
    return {
        "layer": {"name": of.name, "height": of.height, "width": of.width},
        "read": read,
        "images": [
            {"index": index, "label": names[int(labels[i])], "predicted": names[classes[i]],
             "probability": float(probabilities[i, classes[i]]), "picture": picture(images[i].numpy()),
             **{key: None if found is None else _shown(images[i], found[i]) for key, found in maps.items()}}
            for i, index in enumerate(indices)
        ],
    }  # fmt: skip


def stretched(maps: Tensor) -> NDArray[np.float32]:
    """(B, h, w) from 0 at the lowest place of each to 1 at the highest; 0 everywhere where all are alike."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    alike = high - low < 1e-6 * high
    found: NDArray[np.float32] = torch.where(alike, 0.0, (maps - low) / (high - low)).float().cpu().numpy()
    return found


def _shown(image: Tensor, relevance: NDArray[np.float32]) -> dict[str, Any]:
    return {"map": relevance.astype(float).round(3).tolist(), "overlay": overlaid(image.numpy(), relevance)}
