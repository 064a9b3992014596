"""Batched augmentation beside the per-sample PIL pipelines of torchvision and timm, on one CPU thread.

    python benchmarks/augment.py [--json FILE] [--batch 256] [--rounds 9]

The pipelines take turns in one process, round by round, on the same photographs (parts of scikit-learn's two), and
each round has another epoch. A time is the median over the rounds; the ratio is of the thread's CPU time, which other
work on the machine disturbs less than the clock on the wall (both are shown; on an idle machine they agree). Of the
random resized crop the operations that torch dispatches for a batch are counted too, beside those of resizing image by
image with torch (of levelfield those of its torch form: C++, which computes else, dispatches nothing).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import PIL
import timm
import torch
import torchvision
from PIL import Image
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_sample_images
from timm.data.auto_augment import rand_augment_transform
from timm.data.random_erasing import RandomErasing
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision import transforms as tv

from levelfield.data.augment import build_augment
from levelfield.data.augment.normalize import CIFAR100_MEAN, CIFAR100_STD
from levelfield.data.augment.random_resized_crop import draw_parts, take_parts
from levelfield.data.ragged_images import Ragged, ragged
from levelfield.spec import Augment
from levelfield.spec.augment import RandomResizedCrop

PAD_CROP = {"name": "pad_crop", "padding_px": 4}
RANDAUGMENT = {"name": "randaugment", "ops": 2, "magnitude": 7}
TO_TENSOR = [tv.ToTensor(), tv.Normalize(CIFAR100_MEAN, CIFAR100_STD)]
TIMM_RANDAUGMENT = rand_augment_transform("rand-m7-mstd0.5-inc1", {"img_mean": (128, 128, 128)})

CASES = {
    "32 px: crop, flip, normalise": {
        "stored_px": 32, "size_px": 32, "target": 12.0,
        "augment": {"crop": PAD_CROP, "flip": "random"},
        "torchvision": [tv.RandomCrop(32, padding=4), tv.RandomHorizontalFlip(), *TO_TENSOR],
    },
    "32 px: crop, flip, RandAugment(2, 7), normalise, erasing 0.25": {
        "stored_px": 32, "size_px": 32, "target": 12.0,
        "augment": {"crop": PAD_CROP, "flip": "random", "policy": RANDAUGMENT, "erasing": {"probability": 0.25}},
        "torchvision": [
            tv.RandomCrop(32, padding=4), tv.RandomHorizontalFlip(), tv.RandAugment(2, 7), *TO_TENSOR,
            tv.RandomErasing(0.25, value="random"),
        ],
        "timm": [
            tv.RandomCrop(32, padding=4), tv.RandomHorizontalFlip(), TIMM_RANDAUGMENT, *TO_TENSOR,
            RandomErasing(0.25, mode="pixel", device="cpu"),
        ],
    },
    "224 px: crop, flip, RandAugment(2, 7), normalise": {
        "stored_px": 256, "size_px": 224, "target": 2.0,
        "augment": {"crop": {"name": "random_crop"}, "flip": "random", "policy": RANDAUGMENT},
        "torchvision": [tv.RandomCrop(224), tv.RandomHorizontalFlip(), tv.RandAugment(2, 7), *TO_TENSOR],
        "timm": [tv.RandomCrop(224), tv.RandomHorizontalFlip(), TIMM_RANDAUGMENT, *TO_TENSOR],
    },
}  # fmt: skip

RESIZED_CROPS = {"256 to 112 px": (256, 112), "256 to 224 px": (256, 224), "64 to 64 px": (64, 64)}
"""Short side of the stored photographs (of 4 : 3, but the squares of 64 px) and side of the crops, bicubic."""


class Counting(TorchDispatchMode):
    """Counts the operations that torch dispatches."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += 1
        return func(*args, **(kwargs or {}))


def one_by_one(images: Ragged, parts: torch.Tensor, flip: torch.Tensor, size: int) -> torch.Tensor:
    """Random resized crops image by image, by torch's own antialiased resizing."""
    out = torch.empty(len(images), 3, size, size, dtype=torch.uint8)
    for row, ((top, left, height, width), mirrored) in enumerate(zip(parts.tolist(), flip.tolist(), strict=True)):
        start, tall, wide = int(images.start[row]), int(images.height[row]), int(images.width[row])
        image = images.flat[start : start + 3 * tall * wide].view(1, 3, tall, wide)
        part = image[..., top : top + height, left : left + width]
        resized = F.interpolate(part, (size, size), mode="bicubic", align_corners=False, antialias=True)
        out[row] = (resized.flip(3) if mirrored else resized)[0]
    return out


def measure_resized_crop(short: int, size: int, batch: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median times and dispatched operations of a batch of random resized crops, batched and one by one."""
    wide = short if short == size else short * 4 // 3
    whole = [Image.fromarray(array).resize((3 * wide, 2 * short)) for array in load_sample_images().images]
    corners = [(37 * k % (2 * wide), 61 * k % short) for k in range(batch)]
    images = ragged([np.asarray(whole[k % 2].crop((x, y, x + wide, y + short))) for k, (x, y) in enumerate(corners)])
    index = torch.arange(batch)
    flip = index % 2 == 0

    def batched(parts: torch.Tensor) -> torch.Tensor:
        return take_parts(images, parts, flip, size, "bicubic")

    def single(parts: torch.Tensor) -> torch.Tensor:
        return one_by_one(images, parts, flip, size)

    figures: dict[str, dict[str, float]] = {}
    calls = {"one by one": single, "levelfield": batched}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for epoch in range(rounds + 1):
        parts = draw_parts(RandomResizedCrop(), images.height, images.width, index, epoch, 0)
        for name, call in calls.items():
            times[name].append(timed(lambda call=call, parts=parts: call(parts)))  # type: ignore[misc]
            if epoch == 0:
                with Counting() as counting:
                    call(parts)
                figures[name] = {"operations": counting.count}
    for name, rows in times.items():
        figures[name] |= {"wall_ms": median(w for w, _ in rows[1:]), "cpu_ms": median(c for _, c in rows[1:])}
        figures[name]["images_per_s"] = 1e3 * batch / figures[name]["cpu_ms"]
    return figures


def photographs(count: int, size: int) -> list[Image.Image]:
    """`count` parts of two photographs, each half as large again as `size` px and then cut to it."""
    whole = [Image.fromarray(array).resize((3 * size, 2 * size)) for array in load_sample_images().images]
    corners = [(37 * k % (2 * size), 61 * k % size) for k in range(count)]
    return [whole[k % 2].crop((x, y, x + size, y + size)) for k, (x, y) in enumerate(corners)]


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU time in ms of one call."""
    wall, cpu = time.perf_counter(), time.thread_time()
    call()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.thread_time() - cpu)


def measure(case: dict[str, object], batch: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median wall and CPU time in ms of a batch for every pipeline of one case."""
    images = photographs(batch, int(str(case["stored_px"])))
    stored = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).contiguous()
    index = torch.arange(batch)
    calls: dict[str, Callable[[int], object]] = {}
    for name in ("torchvision", "timm"):
        if name in case:
            transform = tv.Compose(case[name])
            calls[name] = lambda epoch, transform=transform: torch.stack([transform(image) for image in images])
    for name, layout in (("levelfield", torch.contiguous_format), ("levelfield, channels-last", torch.channels_last)):
        augment = build_augment(
            Augment.model_validate(case["augment"]), int(str(case["size_px"])), memory_format=layout
        )
        calls[name] = lambda epoch, augment=augment: augment(stored, index, epoch, 0)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for epoch in range(rounds + 1):
        for name, call in calls.items():
            times[name].append(timed(lambda call=call, epoch=epoch: call(epoch)))  # type: ignore[misc]
    return {
        name: {"wall_ms": median(wall for wall, _ in rows[1:]), "cpu_ms": median(cpu for _, cpu in rows[1:])}
        for name, rows in times.items()  # the first round warms up
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    torch.set_num_threads(1)

    versions = {module.__name__: module.__version__ for module in (torch, torchvision, timm, PIL)}
    report = {"batch": chosen.batch, "rounds": chosen.rounds, "threads": 1, "processor": platform.processor(),
              "python": platform.python_version(), "versions": versions, "cases": {}}  # fmt: skip
    for case, settings in CASES.items():
        figures = measure(settings, chosen.batch, chosen.rounds)
        table = Table("pipeline", "wall ms", "CPU ms", "images/s", "x torchvision", "asked", title=case)
        for name, times in figures.items():
            times["images_per_s"] = 1e3 * chosen.batch / times["cpu_ms"]
            times["times_torchvision"] = figures["torchvision"]["cpu_ms"] / times["cpu_ms"]
            asked = f">= {settings['target']}" if name == "levelfield" else ""
            shown = [f"{times['wall_ms']:.1f}", f"{times['cpu_ms']:.1f}", f"{times['images_per_s']:.0f}"]
            table.add_row(name, *shown, f"{times['times_torchvision']:.1f}", asked)
        report["cases"][case] = {"target": settings["target"], "pipelines": figures}  # type: ignore[index]
        Console().print(table)
    for case, (short, size) in RESIZED_CROPS.items():
        crops = measure_resized_crop(short, size, 2 * chosen.batch, chosen.rounds)
        table = Table("resizing", "wall ms", "CPU ms", "images/s", "operations",
                      title=f"random resized crop, {case}, batch {2 * chosen.batch}")  # fmt: skip
        for name, figure in crops.items():
            shown = [f"{figure[key]:.{digits}f}" for key, digits in
                     (("wall_ms", 1), ("cpu_ms", 1), ("images_per_s", 0), ("operations", 0))]  # fmt: skip
            table.add_row(name, *shown)
        report["cases"][f"random resized crop, {case}"] = crops  # type: ignore[index]
        Console().print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
