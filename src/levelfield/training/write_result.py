"""The end of a run: test the weights that count, once, and write result.json, predictions and weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch

from levelfield.cost import count_macs, count_parameters
from levelfield.runs import write_bytes, write_json, write_predictions

if TYPE_CHECKING:
    from levelfield.training.run import Attempt


def write_result(run: Attempt, resumed_from: list[int]) -> dict[str, Any]:
    """Evaluate the raw and the averaged weights on test, and write the chosen ones' numbers. Rank 0 writes."""
    state, spec, data = run.state, run.spec, run.data
    model = state.weights_to_evaluate()
    if state.best is not None:
        model.load_state_dict(state.best["weights"])
    evaluation = run.evaluate(model, data.test, keep_predictions=True)
    if not math.isfinite(evaluation.scores.loss):
        raise run.not_finite("the loss on the test images")
    both: dict[str, Any] = {}
    if state.average is not None and state.best is None:
        other = state.model if model is state.average.module else state.average.module
        other_top1 = run.evaluate(other, data.test).scores.top1
        raw_first = model is state.model
        both["top1_raw"] = evaluation.scores.top1 if raw_first else other_top1
        both["top1_averaged"] = other_top1 if raw_first else evaluation.scores.top1
    parameters = count_parameters(state.model)
    never = state.mode.never_trained
    trainable = sum(p.numel() for name, p in state.model.named_parameters() if name not in never)
    macs = count_macs(model, run.image_size).total
    steps = state.step
    spe = run.plan.steps_per_epoch
    seen = steps // spe * len(data.train) + min(steps % spe * spec.recipe.batch_size, len(data.train))
    result: dict[str, Any] = {
        "model": spec.model.name,
        "data": spec.data.name,
        "recipe": spec.recipe.name,
        "seed": spec.seed,
        **evaluation.scores.as_result(),
        **both,
        "params": parameters.total,
        "trainable_params": trainable,
        "param_mib": parameters.mib,
        "macs": macs,
        "flops": 2 * macs,
        "train_seconds": state.clock.train_seconds,
        "compile_seconds": state.clock.compile_seconds,
        "train_images_per_s": state.clock.images_per_s,
        "eval_seconds": evaluation.seconds,
        "epochs_done": steps / spe,
        "samples_seen": seen,
        "steps": steps,
        "num_classes": len(data.classes),
        "image_size": run.image_size,
        "precision": spec.recipe.precision,
        "device": run.device.type,
        "best_epoch": None if state.best is None else state.best["epoch"],
        "val_top1": None if state.best is None else state.best["top1"],
        "data_official": data.official,
        "resumed_from": resumed_from,
        "loader": run.inputs.loader.why,
        "failed_before": run.folder.failures(),
        "status": "finished",
        "identity": run.prepared.identity,
    }

    def write() -> dict[str, Any]:
        weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
        write_bytes(run.folder.weights, safetensors.torch.save(_unshared(weights)))
        assert evaluation.predictions is not None
        write_predictions(run.folder.path / "predictions.parquet", evaluation.predictions)
        write_json(run.folder.path / "result.json", result)
        return result

    return run.world.from_main(write)


def _unshared(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """safetensors refuses tensors that share memory (tied weights): each gets memory of its own."""
    seen: set[int] = set()
    result = {}
    for key, value in weights.items():
        memory = value.untyped_storage().data_ptr()
        result[key] = value.clone() if memory in seen else value
        seen.add(memory)
    return result
