"""Networks by name, their contract, and the way in for a user's own. Importing this registers every built-in family."""

from levelfield.models import convnext, outgrid, resnet, resnet_mini, rexnet, roadmap, small_images, vit
from levelfield.models.adapt.explain import Explanation, explain
from levelfield.models.contract import checkpoint_gradients, no_weight_decay, stage_of_parameters, stages
from levelfield.models.registry import (
    ModelInfo,
    accepts,
    create_model,
    list_models,
    load_plugin,
    model_info,
    on_meta,
    program_builder,
    register_model,
)
from levelfield.models.weights import Account, start_model_from, transfer, weights_digest

__all__ = [
    "Account",
    "Explanation",
    "ModelInfo",
    "accepts",
    "checkpoint_gradients",
    "convnext",
    "create_model",
    "explain",
    "list_models",
    "load_plugin",
    "model_info",
    "no_weight_decay",
    "on_meta",
    "outgrid",
    "program_builder",
    "register_model",
    "resnet",
    "resnet_mini",
    "rexnet",
    "roadmap",
    "small_images",
    "stage_of_parameters",
    "stages",
    "start_model_from",
    "transfer",
    "vit",
    "weights_digest",
]
