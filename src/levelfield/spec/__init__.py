"""The values that describe a run. Import them from here."""

from levelfield.spec.augment import Augment, Mix
from levelfield.spec.budget import Budget
from levelfield.spec.identity import SCIENCE_VERSION
from levelfield.spec.recipe import (
    Averaging,
    Distil,
    Freeze,
    Optimizer,
    Phase,
    Prune,
    PruneChannels,
    QuantizeAware,
    Recipe,
    RecipeFile,
    Regularisation,
    load_recipe,
)
from levelfield.spec.recipe_files import list_recipes
from levelfield.spec.run import RunSpec
from levelfield.spec.run_parts import Channels, DataSpec, Execution, ModelSpec, Plugin, StartFrom
from levelfield.spec.schedule import Schedule
from levelfield.spec.values import Value
from levelfield.spec.varied_keys import VARIES, covers

__all__ = [
    "SCIENCE_VERSION",
    "VARIES",
    "Augment",
    "Averaging",
    "Budget",
    "Channels",
    "DataSpec",
    "Distil",
    "Execution",
    "Freeze",
    "Mix",
    "ModelSpec",
    "Optimizer",
    "Phase",
    "Plugin",
    "Prune",
    "PruneChannels",
    "QuantizeAware",
    "Recipe",
    "RecipeFile",
    "Regularisation",
    "RunSpec",
    "Schedule",
    "StartFrom",
    "Value",
    "covers",
    "list_recipes",
    "load_recipe",
]
