"""levelfield: find out, honestly and fast, which image classifier is better.

The public names, each documented where it is defined; they are imported when first used, so that `import levelfield`
stays quick:

- `create_model`, `list_models`, `register_model`: networks by name, and one's own
- `RunSpec`, `Recipe`, `Study`: the values that describe a run, how to train, and a comparison
- `train`, `evaluate`, `load_run`: one run
- `read_table`: the table of a finished study's folder
- `open_data`: a data set by name
- `data`: the input path, as in `levelfield.data.build_augment`
- `__version__`: this installation's
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levelfield import data
    from levelfield.data import open_data
    from levelfield.models import create_model, list_models, register_model
    from levelfield.spec import Recipe, RunSpec
    from levelfield.study import Study
    from levelfield.tables import read_table
    from levelfield.training import evaluate, load_run, train

_HOMES = {
    "create_model": "levelfield.models",
    "list_models": "levelfield.models",
    "register_model": "levelfield.models",
    "RunSpec": "levelfield.spec",
    "Recipe": "levelfield.spec",
    "Study": "levelfield.study",
    "read_table": "levelfield.tables",
    "train": "levelfield.training",
    "evaluate": "levelfield.training",
    "load_run": "levelfield.training",
    "open_data": "levelfield.data",
}

__all__ = [
    "Recipe",
    "RunSpec",
    "Study",
    "create_model",
    "data",
    "evaluate",
    "list_models",
    "load_run",
    "open_data",
    "read_table",
    "register_model",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("levelfield")
    try:
        if name == "data":
            return importlib.import_module("levelfield.data")
        if name in _HOMES:
            return getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError(
            f"levelfield.{name} needs torch, which is not installed here: this installation reads and reports results; "
            "to train, evaluate and profile: pip install levelfield",
            name="torch",
        ) from None
    raise AttributeError(f"module 'levelfield' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
