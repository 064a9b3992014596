"""Batched augmentation beside the per-sample PIL pipelines of torchvision and timm, on one CPU thread.

    python benchmarks/augment.py [--json FILE] [--batch 256] [--rounds 9]

The pipelines take turns in one process, round by round, on the same photographs (parts of scikit-learn's two), and
each round has another epoch. A time is the median over the rounds; the ratio is of the thread's CPU time, which other
work on the machine disturbs less than the clock on the wall (both are shown; on an idle machine they agree).
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
from torchvision import transforms as tv

from levelfield.data.augment import build_augment
from levelfield.data.augment.normalize import CIFAR100_MEAN, CIFAR100_STD
from levelfield.spec import Augment

PAD_CROP = {"name": "pad_crop", "padding_px": 4}
RANDAUGMENT = {"name": "randaugment", "ops": 2, "magnitude": 7}
TO_TENSOR = [tv.ToTensor(), tv.Normalize(CIFAR100_MEAN, CIFAR100_STD)]
TIMM_RANDAUGMENT = rand_augment_transform("rand-m7-mstd0.5-inc1", {"img_mean": (128, 128, 128)})

CASES = {
    "32 px: crop, flip, normalise": {
        "stored_px": 32, "size_px": 32, "target": 10.0,
        "augment": {"crop": PAD_CROP, "flip": "random"},
        "torchvision": [tv.RandomCrop(32, padding=4), tv.RandomHorizontalFlip(), *TO_TENSOR],
    },
    "32 px: crop, flip, RandAugment(2, 7), normalise, erasing 0.25": {
        "stored_px": 32, "size_px": 32, "target": 10.0,
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
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
