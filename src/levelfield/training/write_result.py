"""The end of a run: test the weights that count, once, and write result.json, predictions and weights."""

from __future__ import annotations

from typing import Any

from torch import nn

from levelfield.cost import count_macs, count_parameters
from levelfield.evaluation import Scores
from levelfield.runs import WEIGHTS_DIGEST, RunFolder, content_digest, write_json, write_predictions
from levelfield.training.fake_quantisation import quantised_layers
from levelfield.training.not_finite import check_loss
from levelfield.training.save_and_resume import write_weights
from levelfield.training.validation_and_test import RunEvaluator


def write_result(evaluator: RunEvaluator, folder: RunFolder, loader: str, resumed_from: list[int]) -> dict[str, Any]:
    """Evaluate the raw and the averaged weights on test, and write the chosen ones' numbers. Rank 0 writes.

    `loader`: how the training images were read, and why. `resumed_from`: the steps at which later starts went on.
    """
    prepared, state, spec, data = evaluator.prepared, evaluator.state, evaluator.spec, evaluator.data
    model = evaluator.chosen_weights()
    evaluation = evaluator.evaluate(model, data.test, keep_predictions=True)
    check_loss(evaluation.scores.loss, state, "the loss on the test images")
    epochs, steps = divmod(state.step, state.plan.steps_per_epoch)
    result: dict[str, Any] = {
        "model": spec.model.name,
        "data": spec.data.name,
        "recipe": spec.recipe.name,
        "seed": spec.seed,
        **evaluation.scores.as_result(),
        **_raw_and_averaged(evaluation.scores, evaluator),
        **_size(model, evaluator),
        "train_seconds": state.clock.train_seconds,
        "compile_seconds": state.clock.compile_seconds,
        "train_images_per_s": state.clock.images_per_s,
        "train_joules": state.clock.train_joules,
        "energy_of": state.clock.energy_of,
        "eval_seconds": evaluation.seconds,
        "epochs_done": state.step / state.plan.steps_per_epoch,
        "samples_seen": epochs * len(data.train) + min(steps * spec.recipe.batch_size, len(data.train)),
        "steps": state.step,
        "num_classes": len(data.classes),
        "image_size": spec.model.image_size,
        "precision": spec.recipe.precision,
        "device": prepared.device.type,
        "best_epoch": None if state.best is None else state.best["epoch"],
        "val_top1": None if state.best is None else state.best["top1"],
        "data_official": data.official,
        "resumed_from": resumed_from,
        "loader": loader,
        "failed_before": folder.failures(),
        "status": "finished",
        "identity": prepared.identity,
    }

    def write() -> dict[str, Any]:
        write_weights(folder.weights, model)
        result[WEIGHTS_DIGEST] = content_digest(folder.weights)
        assert evaluation.predictions is not None
        write_predictions(folder.path / "predictions.parquet", evaluation.predictions)
        write_json(folder.path / "result.json", result)
        return result

    return state.world.from_main(write)


def _raw_and_averaged(chosen: Scores, evaluator: RunEvaluator) -> dict[str, float]:
    """Top-1 of both, where there is an average and no epoch was selected; the recipe says which of them counts."""
    state = evaluator.state
    if state.average is None or state.best is not None:
        return {}
    raw_chosen = state.weights_to_evaluate() is state.model
    other = state.average.module if raw_chosen else state.model
    other_top1 = evaluator.evaluate(other, evaluator.data.test).scores.top1
    raw, averaged = (chosen.top1, other_top1) if raw_chosen else (other_top1, chosen.top1)
    return {"top1_raw": raw, "top1_averaged": averaged}


def _size(model: nn.Module, evaluator: RunEvaluator) -> dict[str, Any]:
    """Parameters and multiply-accumulates."""
    state, image_size = evaluator.state, evaluator.spec.model.image_size
    assert image_size is not None
    parameters, macs = count_parameters(state.model), count_macs(model, image_size).total
    never = state.mode.never_trained
    return {
        "params": parameters.total,
        "trainable_params": sum(p.numel() for name, p in state.model.named_parameters() if name not in never),
        "param_mib": parameters.mib,
        "macs": macs,
        "flops": 2 * macs,
        **(
            {} if state.pruning is None else {"pruned_params": state.pruning.zeros, "prunable_params": state.pruning.of}
        ),
        **({} if not (rounding := quantised_layers(model)) else {"quantized_layers": len(rounding)}),
        **({} if state.teacher is None else {"teacher_macs": state.teacher.macs}),
    }
