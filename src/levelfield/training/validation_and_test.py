"""A run's weights evaluated on its splits: validation after every epoch, the best epoch kept; the final test."""

from __future__ import annotations

from torch import nn

from levelfield.data import Split
from levelfield.evaluation import Scores
from levelfield.training.batch_inputs import evaluation_transform, run_loader
from levelfield.training.evaluate_model import Evaluation, evaluate_model
from levelfield.training.prepare_run import Prepared
from levelfield.training.training_state import TrainState


class RunEvaluator:
    """How the run of `prepared` validates and tests the weights of `state`, and which of them count in the end."""

    def __init__(self, prepared: Prepared, state: TrainState) -> None:
        self.prepared, self.state = prepared, state
        self.spec, self.data = prepared.spec, prepared.data
        size, execution = prepared.spec.model.image_size, prepared.spec.execution
        assert size is not None
        self.transform = evaluation_transform(prepared.spec.recipe, prepared.data, size, execution.channels_last)

    def evaluate(self, model: nn.Module, split: Split, *, keep_predictions: bool = False) -> Evaluation:
        """Evaluate `model`, the run's own or its average, on a split of the run's data."""
        state = self.state
        state.world.take_from_main(model.buffers())  # BatchNorm statistics that each rank gathered alone would differ
        loader = run_loader(self.spec, split, self.spec.execution.eval_batch_size, state.device, state.world)
        where = (state.dtype, state.device, state.world)
        return evaluate_model(model, loader, self.transform, self.data, *where, keep_predictions=keep_predictions)

    def after_epoch(self, epoch: int) -> Scores | None:
        """The validation of epoch `epoch` (from 0), None without a slice; keeps the best weights if they count."""
        if self.data.validation is None:
            return None
        state = self.state
        model = state.weights_to_evaluate()
        scores = self.evaluate(model, self.data.validation).scores
        better = state.best is None or scores.top1 > float(state.best["top1"])
        if self.spec.recipe.selection == "best_validation" and better:
            weights = {key: value.cpu().clone() for key, value in model.state_dict().items()}
            state.best = {"top1": scores.top1, "epoch": epoch + 1, "weights": weights}
        return scores

    def chosen_weights(self) -> nn.Module:
        """The model whose result counts: of the best epoch where the recipe selects by validation, else of the last."""
        model = self.state.weights_to_evaluate()
        if self.state.best is not None:
            model.load_state_dict(self.state.best["weights"])
        return model
