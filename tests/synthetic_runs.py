"""Synthetic run folders: what a study leaves behind, without training anything."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelfield.evaluation import evaluate_probabilities
from levelfield.runs import Predictions, RunFolder, write_json, write_predictions, write_text
from levelfield.spec import RunSpec
from levelfield.tables import Published, Row, StudyRows

CLASSES = ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MODELS: Mapping[str, tuple[float, float, float, float, float]] = {
    # skill, parameters, MACs, images/s, memory in MiB
    "outgrid_nano": (4.6, 1.21e6, 31e6, 2100, 210),
    "convnext_mini": (4.25, 0.92e6, 22e6, 3400, 150),
    "resnet_mini": (4.5, 0.83e6, 27e6, 5200, 120),
    "vit_mini": (3.2, 0.71e6, 46e6, 2600, 180),
    "mobile_mini": (3.75, 0.31e6, 9e6, 6100, 90),
}


def spec_of(model: str, seed: int = 0, data: str = "cifar10", **changes: Any) -> RunSpec:
    """A resolved run; `changes` by dotted path with __ for the dot (recipe__batch_size=64)."""
    value: dict[str, Any] = {
        "model": {"name": model, "num_classes": 10, "image_size": 32},
        "data": {"name": data, "image_size": 32, "validation": 0.1, "checksum": "ab" * 32},
        "recipe": {"name": "cpu-fast", "precision": "fp32", "batch_size": 256},
        "budget": {"epochs": 12},
        "seed": seed,
    }
    for path, change in changes.items():
        *parents, last = path.split("__")
        here = value
        for parent in parents:
            here = here.setdefault(parent, {})
        here[last] = change
    return RunSpec.parse(value)


def write_two_models(folder: Path) -> Path:
    """Three seeds each of a better and a worse network, in `folder`, which is returned."""
    for model, skill in (("resnet_mini", 4.5), ("vit_mini", 2.0)):
        for seed in range(3):
            write_run(folder / model / f"seed{seed}", spec_of(model, seed), skill)
    return folder


def profile_of(network: str, speed: float, memory: float, **changes: Any) -> dict[str, Any]:
    """What `levelfield profile --study` says of a network, as far as a table reads it."""
    ms = 64e3 / speed
    return {
        "name": network, "model": network, "classes": 10, "image_size": 32, "options": {}, "batch": 64, "device": "cpu",
        "dtype": "fp32", "threads": 2, "compiled": False, "fp32_precision": None, "noisy": False, "busy_percent": 0.5,
        "resting": True, "throughput": {"images_per_s": speed, "ms_median": ms, "ms_q1": ms - 1, "ms_q3": ms + 1},
        "memory": {"inference": {"peak_mib": memory}, "training": None},
        "environment": {"processor": "Example CPU"}, **changes,
    }  # fmt: skip


def write_run(
    folder: Path, spec: RunSpec, skill: float = 4.0, cost: Sequence[float] = (1e6, 3e7, 1000, 100), images: int = 2000,
    status: str = "finished", **result: Any,
) -> RunFolder:  # fmt: skip
    """A run folder whose predictions come from noisy logits: `skill` is the mean margin of the right class."""
    rng = np.random.default_rng(spec.seed * 1000 + sum(map(ord, spec.model.name)))
    shared = np.random.default_rng(7)
    label = np.arange(images) % 10
    logits = rng.normal(0, 0.7, (images, 10)) + shared.normal(0, 1.1, (images, 10))
    logits[np.arange(images), label] += skill + rng.normal(0, 0.03)
    near = np.where(label == 3, 5, np.where(label == 5, 3, (label + 1) % 10))
    logits[np.arange(images), near] += 1.0
    p = np.exp(1.3 * logits - (1.3 * logits).max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    scores = evaluate_probabilities(p.astype(np.float32), label, CLASSES)
    params, macs, speed, _ = cost
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / "run.json", {"identity": spec.identity(), "run": spec.model_dump(mode="json"), "reproducible": True}
    )
    write_json(
        folder / "environment.json",
        {"python": "3.11.9", "packages": {"torch": "2.13.0", "levelfield": "0.1.0"}, "cpu": "Example CPU, 2 cores"},
    )
    epochs = int(spec.budget.epochs or 10)
    lines = []
    for epoch in range(epochs):
        rise = 1 - np.exp(-3.5 * (epoch + 1) / epochs)
        value = scores.top1 * (0.35 + 0.65 * rise) + rng.normal(0, 0.4)
        lines.append(
            f'{{"kind": "epoch", "epoch": {epoch + 1}, "step": {(epoch + 1) * 176}, '
            f'"train_loss": {2.3 - 1.9 * rise:.4f}, "lr": 0.001, "val_top1": {value:.3f}, "images_per_s": {speed}}}'
        )
    write_text(folder / "metrics.jsonl", "\n".join(lines) + "\n")
    write_predictions(folder / "predictions.parquet", Predictions(np.arange(images), label, p.astype(np.float32)))
    write_json(
        folder / "result.json",
        {
            "model": spec.model.name, "data": spec.data.name, "seed": spec.seed, **scores.as_result(),
            "params": int(params), "trainable_params": int(params), "param_mib": params * 4 / 2**20, "macs": int(macs),
            "flops": int(2 * macs), "train_seconds": 540.0, "compile_seconds": 3.0, "eval_seconds": 2.0,
            # as runs wrote them once: one pass that was not warmed up, and the process's high-water mark
            "images_per_s": 7.0, "ms_per_batch": 7.0, "mem_peak_mib": 1271.0 + spec.seed,
            "epochs_done": epochs, "samples_seen": epochs * 45_000,
            "resumed_from": [], "status": status, "identity": spec.identity(), **result,
        },
    )  # fmt: skip
    return RunFolder(folder)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyRows:
    """Five measured rows of three seeds, one row that was never run and one that failed."""
    root = tmp_path_factory.mktemp("study")
    rows = []
    for model, (skill, *cost) in MODELS.items():
        runs = [write_run(root / model / f"seed{s}", spec_of(model, s), skill, cost) for s in range(3)]
        published = None
        if model == "resnet_mini":
            published = Published({"top1": 92.5}, "cifar10", 10, ("on a laptop",))
        elif model == "vit_mini":
            published = Published({"top1": 71.0}, "cifar100", 100)
        rows.append(Row(name=model, group="mini models", runs=tuple(runs), published=published))
    failed = write_run(root / "swin" / "seed0", spec_of("swin_mini"), status="failed: loss is not finite at step 80")
    rows.append(Row(name="swin_mini", runs=(failed,)))
    rows.append(Row(name="efficient_mini", declared=(spec_of("efficient_mini"),)))
    write_json(root / "costs.json", [profile_of(model, *cost[2:]) for model, (_, *cost) in MODELS.items()])
    return StudyRows(
        name="synthetic", rows=tuple(rows), question="Which small classifier is best on CIFAR-10?", path=root,
        baseline="resnet_mini", command="levelfield study run synthetic",
    )  # fmt: skip


@pytest.fixture
def profiles() -> Callable[..., dict[str, Any]]:
    return profile_of


@pytest.fixture
def two_rows(tmp_path: Path) -> StudyRows:
    """A study of two networks whose runs claim costs of their own, as runs once did; nothing was profiled."""
    made = [
        Row(name=model, runs=(write_run(tmp_path / model / "seed0", spec_of(model), 4.0, cost, images=200),))
        for model, (_, *cost) in list(MODELS.items())[:2]
    ]
    return StudyRows(name="two", rows=tuple(made), path=tmp_path, command="levelfield study run two")
