"""What `lf.train` was given, checked before anything is built: kinds of values, and names that it does not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from levelfield.errors import UserError, nearest
from levelfield.spec import Execution, Recipe, RunSpec
from levelfield.spec.values import places_of


def check_arguments(run: Any, recipe: Any, execution: Mapping[str, Any], parameters: Iterable[str]) -> None:
    """`parameters`: the names that `lf.train` has beside those of `execution`. Raises UserError for the first fault."""
    if run is not None and not isinstance(run, RunSpec):
        raise UserError(
            f"run must be a RunSpec, not {type(run).__name__}\n"
            "a model and data are given by name: train(model='resnet_mini', data='digits')"
        )
    if recipe is not None and not isinstance(recipe, (str, Recipe)):
        raise UserError(
            f"recipe must be a name, a .yaml file or a Recipe, not {type(recipe).__name__}\n"
            "Recipe.parse({...}) makes one of keys and values"
        )
    for name in execution:
        if name not in Execution.model_fields:
            raise UserError(f"train has no argument {name!r}; {_instead(name, parameters)}")


def _instead(name: str, parameters: Iterable[str]) -> str:
    """What to give instead of an argument that there is not."""
    if name == "plugins":
        return "import the file that registers the model first, or give the module itself as model"
    if places := [".".join(place) for place in dict.fromkeys(places_of(Recipe)) if place[-1] == name]:
        return f"the recipe says it ({' or '.join(places)}): give recipe, a Recipe or a .yaml file that says so"
    known = [*parameters, *Execution.model_fields]
    close = nearest(name, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
