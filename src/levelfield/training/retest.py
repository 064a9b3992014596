"""A finished run tested again: the full block of figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from levelfield.cost import count_macs, count_parameters, measure_inference
from levelfield.cost.memory import measure_memory
from levelfield.data import make_loader, open_data
from levelfield.errors import UserError, unknown
from levelfield.training.device import choose_device, choose_precision, configure_torch, current_device
from levelfield.training.evaluating import evaluate_model
from levelfield.training.inputs import evaluation_transform
from levelfield.training.loaded import load_run

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def retest(
    path: Path, *, split: str = "test", batch_size: int = 64, device: str = "auto", data_dir: str | None = None
) -> dict[str, Any]:
    """Test the weights of the run in `path` on its own data.

    Returns loss, top-1/3/5 (percent), F1, the seconds of the test with its loading, images/s and ms per batch of the
    model alone (the median of warmed-up calls), the memory of one such batch in MiB (allocated, reserved and peak on
    CUDA; on the CPU what the whole process holds while it computes, libraries and data included), parameters, MACs,
    FLOPs and `report`, the lines of the classification report. Raises UserError for a folder without a finished run.
    """
    if split not in ("test", "validation"):
        raise unknown("split", split, ("test", "validation"))
    target = choose_device(device)
    with current_device(target):
        return _retest(path, split, batch_size, target, data_dir)


def _retest(path: Path, split: str, batch_size: int, target: torch.device, data_dir: str | None) -> dict[str, Any]:
    run = load_run(path)
    spec = run.spec
    wanted = spec.recipe.precision
    dtype = _DTYPES[choose_precision("fp32" if wanted == "fp16" and target.type == "cpu" else wanted, target)]
    configure_torch(spec.execution, target, spec.recipe.tf32)
    data = open_data(spec.data, data_dir or spec.execution.data_dir)
    if data.checksum != spec.data.checksum:
        raise UserError(
            f"data {spec.data.name!r} is not what the run was trained on (checksum {data.checksum[:16]}, "
            f"wanted {str(spec.data.checksum)[:16]})\npoint --data-dir at the same data"
        )
    images = data.test if split == "test" else data.validation
    if images is None:
        raise UserError(f"{path} was trained without a validation slice: use --split test")
    size = spec.model.image_size
    assert size is not None
    layout = torch.channels_last if spec.execution.channels_last else torch.contiguous_format
    model = run.model.to(device=target, memory_format=layout)  # type: ignore[call-overload]
    transform = evaluation_transform(spec.recipe, data, size, spec.execution.channels_last)
    loader = make_loader(images, batch_size=batch_size, seed=0, shuffle=False, device=target)
    evaluation = evaluate_model(model, loader, transform, data, dtype, target)
    scores, parameters, macs = evaluation.scores, count_parameters(model), count_macs(model, size).total
    batch = min(batch_size, len(images))
    timing = measure_inference(model, batch, size, target, dtype)
    once: dict[str, Any] = {"seconds": 0.0, "min_repeats": 1}
    memory = measure_memory(lambda: measure_inference(model, batch, size, target, dtype, **once), target)
    return {
        "model": spec.model.name,
        "data": spec.data.name,
        "split": split,
        "seed": spec.seed,
        "n": scores.n,
        **scores.as_result(),
        "images_per_s": timing.images_per_s,
        "batch": batch,
        "ms_per_batch": timing.ms_median,
        "eval_seconds": evaluation.seconds,
        "mem_alloc_mib": memory.allocated_mib if memory.kind == "cuda" else None,
        "mem_reserved_mib": memory.reserved_mib,
        "mem_peak_mib": memory.peak_mib,
        "params": parameters.total,
        "param_mib": parameters.mib,
        "macs": macs,
        "flops": 2 * macs,
        "device": str(target),
        "precision": {v: k for k, v in _DTYPES.items()}[dtype],
        "report": [vars(score).copy() for score in scores.report()],
    }
