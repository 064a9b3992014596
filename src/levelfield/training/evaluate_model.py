"""Evaluation of a model on a split: unpadded shards, summed counts, one division."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from levelfield.cost.timing import synchronize
from levelfield.data import ImageData, Loader
from levelfield.data.augment import EvalTransform
from levelfield.data.to_device import input_device, to_device
from levelfield.evaluation import Scores
from levelfield.evaluation.counts import Counts
from levelfield.module_mode import evaluation_mode
from levelfield.runs import Predictions
from levelfield.training.processes import World


@dataclass(frozen=True)
class Evaluation:
    """Scores on a split, the predictions (None unless asked for), and how long it took, the loader included."""

    scores: Scores
    predictions: Predictions | None
    seconds: float


@torch.inference_mode()
def evaluate_model(
    model: nn.Module,
    loader: Loader,
    transform: EvalTransform,
    data: ImageData,
    dtype: torch.dtype,
    device: torch.device,
    world: World | None = None,
    *,
    keep_predictions: bool = False,
) -> Evaluation:
    """Evaluate `model` on all of `loader` in evaluation mode, under autocast where `dtype` is not float32.

    Every rank gets the same scores: integer counts are summed over unpadded shards. `keep_predictions` gathers index,
    label and softmax of every image, in the order of the index. Afterwards every module has the mode that it had.
    """
    world = world or World()
    counting = input_device(device)
    counts = Counts(len(data.classes), counting)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    synchronize(device)
    begin = time.perf_counter()
    with evaluation_mode(model):
        for images, labels, index in loader.epoch(0):
            if not len(index):  # a rank without a share of the last images: a network may refuse a batch of none
                continue
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                logits = model(to_device(transform(images), device)).float()
            logits = to_device(logits, counting)
            counts.update(logits, labels)
            if keep_predictions:
                parts.append((index.cpu(), labels.cpu(), logits.softmax(1).cpu()))
    packed = world.sum(counts.pack())
    scores = Counts.unpack(packed, len(data.classes)).scores(data.classes)  # waits for the device
    seconds = time.perf_counter() - begin
    return Evaluation(scores, _gather(parts, len(data.classes), world) if keep_predictions else None, seconds)


def _gather(parts: list[tuple[Tensor, Tensor, Tensor]], classes: int, world: World) -> Predictions:
    if parts:
        own = tuple(torch.cat(column).numpy() for column in zip(*parts, strict=True))
    else:
        own = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, classes), np.float32))
    shards = world.gather(own)
    index, label, probabilities = (np.concatenate(column) for column in zip(*shards, strict=True))
    order = np.argsort(index, kind="stable")
    return Predictions(index[order], label[order], probabilities[order])
