"""Networks by name, what any of them is asked, and the way in for a user's own; importing this registers our own."""

from levelfield.models import families  # noqa: F401
from levelfield.models.adapt_timm.explain import explain
from levelfield.models.gradient_checkpointing import checkpoint_gradients
from levelfield.models.parameter_groups import no_weight_decay, stage_of_parameters
from levelfield.models.registry import (
    accepts,
    create_model,
    list_models,
    load_plugin,
    model_info,
    on_meta,
    program_builder,
    register_model,
)
from levelfield.models.weights import start_model_from, transfer, weights_digest

__all__ = [
    "accepts",
    "checkpoint_gradients",
    "create_model",
    "explain",
    "list_models",
    "load_plugin",
    "model_info",
    "no_weight_decay",
    "on_meta",
    "program_builder",
    "register_model",
    "stage_of_parameters",
    "start_model_from",
    "transfer",
    "weights_digest",
]
