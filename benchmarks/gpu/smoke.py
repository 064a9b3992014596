"""Does levelfield train with what is installed here? Imports, a network of each family, a run stopped and resumed.

    python benchmarks/gpu/smoke.py [--device auto]

The first thing to run on a machine with an older torch or without the command line's packages: it needs the package's
source (PYTHONPATH=src), torch, torchvision, timm, numpy, scipy, scikit-learn, pillow, pyyaml, safetensors, pyarrow and
pydantic, and no data. Exits with code 1 at the first thing that is wrong.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import platform
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Final

ONLY_FOR: Final = {
    "typer": "the command line and --parallel",
    "rich": "the command line and progress",
    "statsmodels": "tables",
    "altair": "pages",
    "vl_convert": "pages",
    "tensorboard": "TensorBoard files",
    "ray": "the Ray executor",
}
"""Packages that training does without, and what needs them."""
NETWORKS: Final = ("outgrid_nano", "resnet_nano", "vit_mini", "convnext_nano_p2", "rexnet_tiny", "resnet18_s1")
RUN: Final = {
    "model": {"name": "outgrid_nano"},
    "data": {"name": "digits", "image_size": 32, "train_limit": 128, "test_limit": 60},
    "recipe": {
        "batch_size": 32,
        "optimizer": {"name": "muon", "lr": 0.01, "weight_decay": 0.05},
        "augment": {"crop": {"name": "pad_crop"}, "policy": {"name": "trivial_augment_wide"}},
        "mix": {"mixup_alpha": 0.2, "cutmix_alpha": 1.0},
        "averaging": {"name": "ema"},
        "validation": 0.0,
    },
    "budget": {"steps": 3},
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    wanted = parser.parse_args(arguments).device

    import torch

    from levelfield.models import create_model
    from levelfield.progress import Progress
    from levelfield.spec import RunSpec
    from levelfield.training import Interrupted, evaluate, train
    from levelfield.training.device import choose_device

    device = choose_device(wanted)
    found = {name: metadata.version(name) for name in ("torch", "torchvision", "timm", "pydantic")}
    print(
        f"python {platform.python_version()}, " + ", ".join(f"{name} {v}" for name, v in found.items()) + f", {device}"
    )
    for name, what in ONLY_FOR.items():
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed: nothing for {what}")

    for name in NETWORKS:
        logits = create_model(name, 10, 32).to(device).eval()(torch.randn(2, 3, 32, 32, device=device))
        check(logits.shape == (2, 10) and bool(logits.isfinite().all()), f"{name} computes")

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        plain = {**RUN, "execution": {"device": str(device), "threads": 1, "loggers": []}}
        stopping = {**RUN, "execution": {**plain["execution"], "stop_after_seconds": 1e-9}}  # type: ignore[dict-item]
        alone = train(RunSpec.parse(plain), out / "alone", progress=Progress(shown=False))
        check(math.isfinite(alone.result["loss"]), "a run trains and is tested")
        stops = 0
        while stops < 5:
            try:
                resumed = train(RunSpec.parse(stopping), out / "stopped", progress=Progress(shown=False))
                break
            except Interrupted:
                stops += 1
        check(stops == 2 and resumed.result["resumed_from"] == [1, 2], "a run stopped twice goes on where it stopped")
        near = 1e-6 if device.type == "cpu" else 2e-2
        check(abs(resumed.result["loss"] - alone.result["loss"]) < near, "and ends as the one left alone")
        check(evaluate(out / "alone", device=str(device)).top1 == alone.result["top1"], "its folder is tested anew")
    print("all is well")


def check(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"wrong: {what}")
    print(f"ok: {what}")


if __name__ == "__main__":
    main()
