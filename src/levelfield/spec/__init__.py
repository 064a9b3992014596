"""The values that describe a run. Import them from here."""

from levelfield.spec.library import RecipeFile, list_recipes, load_recipe
from levelfield.spec.recipe import Augment, Averaging, Freeze, Mix, Optimizer, Phase, Recipe, Regularisation, Schedule
from levelfield.spec.run import (
    SCIENCE_VERSION,
    Budget,
    DataSpec,
    Execution,
    ModelSpec,
    Plugin,
    RunSpec,
    StartFrom,
)
from levelfield.spec.values import Value
from levelfield.spec.varies import VARIES, covers

__all__ = [
    "SCIENCE_VERSION",
    "VARIES",
    "Augment",
    "Averaging",
    "Budget",
    "DataSpec",
    "Execution",
    "Freeze",
    "Mix",
    "ModelSpec",
    "Optimizer",
    "Phase",
    "Plugin",
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
