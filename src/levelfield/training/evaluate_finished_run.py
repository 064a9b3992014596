"""A finished run tested again, as it was at its end: its scores, or the full block of figures."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from levelfield.cost import count_macs, count_parameters, measure_inference
from levelfield.cost.memory import measure_memory
from levelfield.data import ImageData, build_eval_transform, make_loader, open_data
from levelfield.data.to_device import to_device
from levelfield.errors import UserError, unknown
from levelfield.models.deploy import DeployedNetwork, deployed
from levelfield.precision import DTYPES
from levelfield.training.device import choose_device, current_device
from levelfield.training.evaluate_model import Evaluation, evaluate_model
from levelfield.training.fake_quantisation import without_rounding
from levelfield.training.load_finished_run import LoadedRun, load_run
from levelfield.training.network_on_device import network_on


def retest(
    path: Path, *, split: str = "test", batch_size: int = 64, device: str = "auto", data_dir: str | None = None,
    deploy: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Test the weights of the run in `path` on its own data, with `deploy` in the form that only predicts.

    Returns loss, top-1/3/5 (percent), F1, the seconds of the test with its loading, images/s and ms per batch of the
    model alone (the median of warmed-up calls), the memory of one such batch in MiB (allocated, reserved and peak on
    CUDA; on the CPU what the whole process holds while it computes, libraries and data included), parameters, MACs,
    FLOPs, `report`, the lines of the classification report, `deployed`, what became of the network and how far its
    logits were off on the first batch (None without `deploy`), and `calibration`, that of the run's folder (None
    without one). Raises UserError for a folder without a finished run.
    """
    if split not in ("test", "validation"):
        raise unknown("split", split, ("test", "validation"))
    target = choose_device(device)
    with current_device(target):
        run = load_run(path)
        spec, size = run.spec, run.spec.model.image_size
        assert size is not None
        tested = run_test(run, split=split, batch_size=batch_size, target=target, data_dir=data_dir, deploy=deploy)
        scores, batch = tested.evaluation.scores, min(batch_size, tested.evaluation.scores.n)
        computing = tested.deployed or without_rounding(tested.network)
        measured = functools.partial(measure_inference, computing, batch, size, target, tested.dtype)
        timing = measured()
        memory = measure_memory(lambda: measured(seconds=0.0, min_repeats=1), target)
        parameters, macs = count_parameters(tested.network), count_macs(tested.network, size).total
    return {
        "model": spec.model.name,
        "data": spec.data.name,
        "split": split,
        "seed": spec.seed,
        "n": scores.n,
        **scores.as_result(),
        "data_notes": list(run.folder.description().get("data", {}).get("notes", ())),
        "images_per_s": timing.images_per_s,
        "batch": batch,
        "ms_per_batch": timing.ms_median,
        "eval_seconds": tested.evaluation.seconds,
        "mem_alloc_mib": memory.allocated_mib if memory.kind == "cuda" else None,
        "mem_reserved_mib": memory.reserved_mib,
        "mem_peak_mib": memory.peak_mib,
        "params": parameters.total,
        "param_mib": parameters.mib,
        "macs": macs,
        "flops": 2 * macs,
        "device": str(target),
        "precision": {v: k for k, v in DTYPES.items()}[tested.dtype],
        "deployed": None if tested.deployed is None else asdict(tested.deployed.account),
        "calibration": run.folder.calibration(),
        "report": [vars(score).copy() for score in scores.report()],
    }


@dataclass(frozen=True)
class Tested:
    """A run's test: the evaluation, the network (a copy, on the device) and the precision it computed in; the deployed
    form of the network where that was tested.
    """

    evaluation: Evaluation
    network: nn.Module
    dtype: torch.dtype
    deployed: DeployedNetwork | None = None


def run_test(
    run: LoadedRun,
    *,
    data: str | ImageData | None = None,
    split: str = "test",
    batch_size: int,
    target: torch.device,
    data_dir: str | None = None,
    deploy: bool = False,
    keep_predictions: bool = False,
) -> Tested:
    """Test a run as it was at its end, on its own data or on others of the same classes; with `deploy` its network in
    the form that only predicts, made with the first batch.

    Precision, preprocessing and normalisation are the run's (one that the device does not compute in, as fp16 on a
    CPU, becomes fp32 there). Raises UserError where the run's own data are not what it was trained on, or others do
    not fit its classes.
    """
    spec = run.spec
    opened = data if isinstance(data, ImageData) else open_tested(run, data, data_dir)
    _check_classes(run.classes, opened)
    images = opened.test if split == "test" else opened.validation
    if images is None:
        raise UserError(
            f"{run.folder.path} was trained without a validation slice, and test images are not for choosing by\n"
            "train it again with --set recipe.validation=0.1: a tenth of the training images is then held out"
        )
    size = spec.model.image_size
    assert size is not None
    if images.side_px < size:
        raise UserError(f"the images are {images.side_px} px and the run's network takes {size}: give larger ones")
    network, dtype, form = network_on(run, target)
    described = run.folder.description()
    transform = build_eval_transform(spec.recipe.augment, size, described["mean"], described["std"], memory_format=form)
    loader = make_loader(images, batch_size=batch_size, seed=0, shuffle=False, device=target)
    ready = deployed(network, to_device(transform(next(iter(loader.epoch(0)))[0]), target), dtype) if deploy else None
    found = evaluate_model(
        ready or network, loader, transform, opened, dtype, target, keep_predictions=keep_predictions
    )
    return Tested(found, network, dtype, ready)


def open_tested(run: LoadedRun, name: str | None, data_dir: str | None) -> ImageData:
    """The run's own data, checked, or (`name`) other data fitted as its own were. Raises UserError for data that are
    not what the run was trained on."""
    spec, folder = run.spec, data_dir or run.spec.execution.data_dir
    if name not in (None, spec.data.name):
        assert name is not None
        return open_data(spec.data.changed({"name": name, "checksum": None}), folder)
    if run.own_data:
        raise UserError(
            f"{run.folder.path} was trained on data of your own ({spec.data.name})\ngive them: data=... (an ImageData)"
        )
    data = open_data(spec.data, folder)
    if data.checksum != spec.data.checksum:
        raise UserError(
            f"data {spec.data.name!r} is not what the run was trained on (checksum {data.checksum[:16]}, "
            f"wanted {str(spec.data.checksum)[:16]})\npoint --data-dir at the same data"
        )
    return data


def _check_classes(trained: tuple[str, ...], data: ImageData) -> None:
    """Raise UserError where labels mean other classes than the network's outputs do."""
    if len(trained) != len(data.classes):
        raise UserError(f"the run knows {len(trained)} classes, {data.name} has {len(data.classes)}: give other data")
    place = {name: number for number, name in enumerate(trained)}
    moved = [name for number, name in enumerate(data.classes) if place.get(name, number) != number]
    if moved:
        raise UserError(
            f"class {moved[0]!r} is output {place[moved[0]]} of the run and label {data.classes.index(moved[0])} of "
            f"{data.name}\nput the data's classes in the run's order: {', '.join(trained[:5])}, ..."
        )
