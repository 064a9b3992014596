"""How much of a training step is spent waiting for input: the loop of a small network over each kind of loader.

    python benchmarks/loader.py                    # 32 px, resnet_mini, on the device that there is
    python benchmarks/loader.py --steps 60 --json loader.json

Three cases in one process, interleaved in rounds so that a busy machine disturbs all alike: `resident` (uint8 on the
device), `streamed, store` (memory-mapped, read by workers) and `streamed, encoded` (JPEG files of 160 x 120 px, decoded
and resized by workers). Pixels are random or smooth. Waiting is the time until the loader hands over a batch;
augmenting is crop, flip, normalisation; computing is forward, backward and update. On CUDA every part ends with a
synchronisation. The first batch of an epoch (the order is drawn, workers start) stands apart as `first batch`: it comes
once an epoch, whatever its length.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from levelfield.data import Loader, build_augment, from_arrays, make_loader, open_data
from levelfield.data.store.pixel_storage import MappedPixels
from levelfield.data.store.splits import Split
from levelfield.models import create_model
from levelfield.spec import Augment, DataSpec
from levelfield.spec.augment import PadCrop

ROUNDS = 3
PARTS = ("first_batch", "waiting", "augmenting", "computing")


def stored_split(folder: Path, images: int) -> Split:
    """A memory-mapped split of random 32-px images."""
    pixels = np.random.default_rng(0).integers(0, 256, (images, 3, 32, 32), dtype=np.uint8)
    np.save(folder / "images.npy", pixels)
    rows = torch.arange(images)
    return Split("train", MappedPixels(folder / "images.npy"), rows, rows % 10, rows)


def encoded_split(folder: Path, images: int) -> Split:
    """A split of JPEG files in class folders, read encoded and resized to 32 px."""
    ramp = np.linspace(0, 255, 160)[None, :, None] + np.zeros((120, 160, 3))
    for row in range(images):
        path = folder / "jpeg" / ("train" if row >= 10 else "test") / str(row % 10) / f"{row}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(ramp, row, axis=1).astype(np.uint8)).save(path, quality=90)
    spec = DataSpec(name=f"folder:{folder / 'jpeg'}", image_size=32)
    os.environ["LEVELFIELD_CACHE"] = str(folder / "cache")
    return open_data(spec, pixels="encoded").train


def seconds_of(loader: Loader, net: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> dict[str, float]:
    """Seconds spent in each part over the first `steps` steps of an epoch."""
    device = loader.device
    augment = build_augment(Augment(crop=PadCrop(padding_px=4), flip="random"), 32, memory_format=torch.channels_last)
    spent = dict.fromkeys(PARTS, 0.0)

    def lap(part: str, since: float) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        spent[part] += now - since
        return now

    clock = time.perf_counter()
    for step, (images, labels, index) in enumerate(loader.epoch(0)):
        clock = lap("waiting" if step else "first_batch", clock)
        x = augment(images, index, 0, 0)
        clock = lap("augmenting", clock)
        with torch.autocast(device.type, torch.bfloat16):
            loss = nn.functional.cross_entropy(net(x), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        clock = lap("computing", clock)
        if step == steps:
            break
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet_mini")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=30, help="steps a case and round")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        stored = stored_split(Path(folder), arguments.images)
        encoded = encoded_split(Path(folder), arguments.images // 2)
        memory = from_arrays(
            (stored.read(stored.rows), stored.labels), (stored.read(stored.rows[:10]), stored.labels[:10])
        )
        common = {"batch_size": arguments.batch, "seed": 0, "shuffle": True, "device": device}
        loaders = {
            "resident": make_loader(memory.train, kind="resident", **common),
            "streamed, store": make_loader(stored, kind="streamed", workers=arguments.workers, **common),
            "streamed, encoded": make_loader(encoded, kind="streamed", workers=arguments.workers, **common),
        }
        net = create_model(arguments.model, num_classes=10, image_size=32)
        net = net.to(device, memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
        steps = min(arguments.steps, min(len(loader) for loader in loaders.values()) - 1)
        seconds_of(loaders["resident"], net, optimizer, 3)  # warm-up
        rounds = [
            {name: seconds_of(loader, net, optimizer, steps) for name, loader in loaders.items()} for _ in range(ROUNDS)
        ]
    results = []
    for name in loaders:
        median = {part: statistics.median(r[name][part] for r in rounds) * 1e3 for part in PARTS}
        median |= {part: median[part] / steps for part in PARTS[1:]}
        shares = [r[name]["waiting"] / sum(r[name][part] for part in PARTS[1:]) for r in rounds]
        results.append(
            {"loader": name, **{f"{part}_ms": round(ms, 3) for part, ms in median.items()},
             "waiting_percent": round(100 * statistics.median(shares), 2),
             "waiting_percent_range": [round(100 * min(shares), 2), round(100 * max(shares), 2)]}
        )  # fmt: skip
    machine = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    setting = {
        "model": arguments.model, "batch": arguments.batch, "steps": steps, "rounds": ROUNDS,
        "workers": arguments.workers, "device": str(device), "machine": machine, "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }  # fmt: skip
    print("  ".join(f"{key} {value}" for key, value in setting.items()))
    print(f"{'loader':<20}" + "".join(f"{part:>15}" for part in PARTS) + f"{'waiting share (range)':>26}")
    for row in results:
        low, high = row["waiting_percent_range"]
        figures = "".join(f"{row[part + '_ms']:>12.2f} ms" for part in PARTS)
        print(f"{row['loader']:<20}{figures}{row['waiting_percent']:>10.2f} % ({low:.2f} to {high:.2f})")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"setting": setting, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
