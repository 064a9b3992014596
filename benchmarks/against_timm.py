"""Training speed end to end against timm's parts, put together as its training script does, on the same images.

Both sides train the same network on the same folder of PNG files with the same batch, optimiser and augmentation
(random crop, flip, timm's RandAugment, erasing, label smoothing), each in a process of its own, taking turns. timm's
side is its own dataset, loader (two workers, prefetching), augmentation, loss and optimiser in the loop of its script:
forward, loss, backward, step. A side's figure is the images per second of its epochs after the first, loading included.

    python benchmarks/against_timm.py                                  # digits, at 32 px
    python benchmarks/against_timm.py --data cifar10 --images 10000 --model resnet_mini
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = 64
SMOOTHING = 0.1
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
RECIPE = {
    "batch_size": BATCH,
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
    "schedule": {"name": "constant"},
    "augment": {
        "crop": {"name": "pad_crop", "padding_px": 4},
        "flip": "random",
        "policy": {"name": "randaugment", "form": "timm", "ops": 2, "magnitude": 9, "magnitude_std": 0.5},
        "erasing": {"probability": 0.25},
        "normalize": "half",
    },
    "regularisation": {"label_smoothing": SMOOTHING},
    "precision": "fp32",
    "validation": 0.0,
}


def write_images(data: str, images: int, folder: Path) -> int:
    """PNG files of the first `images` training images in train/CLASS/, of some test images in test/; the classes."""
    import torch
    from PIL import Image

    import levelfield
    from levelfield.spec import DataSpec

    opened = levelfield.open_data(DataSpec(name=data, image_size=32))
    for split, count in ((opened.train, images), (opened.test, 200)):
        pixels = split.read(torch.arange(min(count, len(split))))
        for number, (image, label) in enumerate(zip(pixels, split.labels.tolist(), strict=False)):
            path = folder / split.name / f"class{label:03d}" / f"{number:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return len(opened.classes)


def timm_side(folder: Path, model_name: str, classes: int, epochs: int, workers: int, channels_last: bool) -> None:
    """Prints images/s of each epoch."""
    import timm.data
    import timm.loss
    import timm.optim
    import torch

    import levelfield

    model = levelfield.create_model(model_name, num_classes=classes, image_size=32).train()
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    loader = timm.data.create_loader(
        timm.data.create_dataset("", root=str(folder), split="train", is_training=True),
        input_size=(3, 32, 32), batch_size=BATCH, is_training=True, train_crop_mode="rkrc", hflip=0.5,
        color_jitter=0.0, auto_augment="rand-m9-mstd0.5", re_prob=0.25, re_mode="pixel", mean=MEAN, std=STD,
        num_workers=workers, device=torch.device("cpu"), persistent_workers=True,
    )  # fmt: skip
    loss_of = timm.loss.LabelSmoothingCrossEntropy(SMOOTHING)
    optimizer = timm.optim.create_optimizer_v2(model, opt="sgd", lr=0.05, momentum=0.9, weight_decay=1e-4)
    speeds = []
    for _ in range(epochs):
        begin, seen = time.perf_counter(), 0
        for images, labels in loader:
            if channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            loss = loss_of(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(images)
        speeds.append(seen / (time.perf_counter() - begin))
    print(json.dumps(speeds))


def levelfield_side(folder: Path, model_name: str, epochs: int, channels_last: bool) -> None:
    """Prints images/s of each epoch, with checkpoints and the journal on, as users have it."""
    import levelfield
    from levelfield.progress import Progress

    recipe = levelfield.Recipe.model_validate(RECIPE)
    with tempfile.TemporaryDirectory() as out:
        run = levelfield.train(
            model=model_name, data=f"folder:{folder}", recipe=recipe, epochs=epochs, image_size=32, out=out,
            progress=Progress(shown=False), device="cpu", channels_last=channels_last,
        )  # fmt: skip
    lines = [line for line in run.history if line["kind"] == "epoch"]
    ends = [0.0, *(line["train_seconds"] for line in lines)]
    speeds = [line["samples"] / (line["train_seconds"] - start) for line, start in zip(lines, ends, strict=False)]
    print(json.dumps(speeds))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--images", type=int, default=10_000, help="training images, at most")
    parser.add_argument("--model", action="append")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="of timm's loader")
    parser.add_argument("--contiguous", action="store_true", help="contiguous tensors on both sides, not channels-last")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=["timm", "levelfield"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--classes", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    models, channels_last = chosen.model or ["resnet_mini", "resnet18_s1"], not chosen.contiguous
    if chosen.side == "timm":
        timm_side(chosen.folder, models[0], chosen.classes, chosen.epochs, chosen.workers, channels_last)
        return
    if chosen.side == "levelfield":
        levelfield_side(chosen.folder, models[0], chosen.epochs, channels_last)
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        classes = write_images(chosen.data, chosen.images, folder)
        for model in models:
            speeds: dict[str, list[float]] = {"timm": [], "levelfield": []}
            for _ in range(chosen.rounds):
                for side, found in speeds.items():
                    command = [
                        sys.executable, __file__, "--side", side, "--folder", name, "--model", model,
                        "--classes", str(classes), "--epochs", str(chosen.epochs), "--workers", str(chosen.workers),
                        *(["--contiguous"] if chosen.contiguous else []),
                    ]  # fmt: skip
                    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
                    found.extend(json.loads(said.splitlines()[-1])[1:])
            timm_s, own_s = (statistics.median(found) for found in speeds.values())
            rows.append({"model": model, "timm": timm_s, "levelfield": own_s, "ratio": own_s / timm_s})
            print(f"{model:14} timm {timm_s:8.0f} images/s   levelfield {own_s:8.0f}   ratio {own_s / timm_s:.2f}")
    if chosen.json:
        chosen.json.write_text(json.dumps({"settings": vars(chosen), "rows": rows}, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
