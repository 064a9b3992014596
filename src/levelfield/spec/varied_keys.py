"""What a study varies on purpose: the keys of a run in which its rows may differ, because its question is about them.

A declared key covers everything below it (`recipe.optimizer` covers `recipe.optimizer.lr`). `pretraining.KEY` is that
key of the run whose weights a row starts from.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from levelfield.errors import nearest
from levelfield.spec.run import RunSpec
from levelfield.spec.values import models_in

VARIES: Final = ("model.name",)
"""What is varied where nobody says otherwise: the network."""
PRETRAINING: Final = "pretraining"


def covers(declared: Iterable[str], key: str) -> bool:
    """Whether `key` is one of `declared` or lies below one."""
    return any(key == one or key.startswith(f"{one}.") for one in declared)


def strange(key: str) -> str | None:
    """Why no run has such a key, with the nearest that it has; None for a key of a run."""
    parts = key.split(".")
    if parts[0] == PRETRAINING:
        parts = parts[1:]
    here: list[Any] = [RunSpec]
    for number, part in enumerate(parts):
        models = [model for annotation in here for model in models_in(annotation)]
        if not models and number:
            return None if any(_holds(dict, each) for each in here) else f"{key!r} goes below a single value"
        if part.isdigit() and any(_holds(tuple, each) for each in here):
            continue
        here = [model.model_fields[part].annotation for model in models if part in model.model_fields]
        if not here:
            close = nearest(part, sorted({name for model in models for name in model.model_fields}), 1)
            hint = f"; did you mean {'.'.join([*parts[:number], close[0]])!r}?" if close else ""
            return f"{key!r} is no key of a run{hint}"
    return None


def _holds(container: type, annotation: Any) -> bool:
    """Whether a value may be a `container`: a dict of keys of its own (options), a tuple."""
    parts = [part for part in getattr(annotation, "__args__", ()) if part is not annotation]
    return getattr(annotation, "__origin__", annotation) is container or any(_holds(container, part) for part in parts)
