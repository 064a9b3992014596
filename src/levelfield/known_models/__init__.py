"""What is known of models before any is built: names, settings, counts. Nothing here imports torch.

So a misspelt name is answered, and a list shown, before torch is loaded. The built-in models' facts are kept in
`built_in.json`, which `python tests/models/built_in.py` writes from the networks and a test holds to them; timm's names
are read in its source files; what a plugin or a program registers is added as it does so.
"""

from levelfield.known_models.built_in import BuiltIn, built_in
from levelfield.known_models.model_info import TIMM, ModelInfo
from levelfield.known_models.names import (
    ELSEWHERE,
    check_name,
    is_known,
    known_model,
    known_names,
    matching,
    registered,
)
from levelfield.known_models.plugin_path import plugin_file
from levelfield.known_models.timm_names import timm_names

__all__ = [
    "ELSEWHERE",
    "TIMM",
    "BuiltIn",
    "ModelInfo",
    "built_in",
    "check_name",
    "is_known",
    "known_model",
    "known_names",
    "matching",
    "plugin_file",
    "registered",
    "timm_names",
]
