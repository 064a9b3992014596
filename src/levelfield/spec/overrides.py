"""Change a configuration by dotted paths: `recipe.optimizer.lr=1e-3`, as given with `--set`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

from levelfield.errors import UserError
from levelfield.spec.yaml_files import RepeatedKey, load_yaml

EXECUTION: Final = "execution."
"""Where the path of a change begins that is no change of what is trained."""


def apply(config: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """A copy of `config` with each `path=value` set; values are read as YAML, missing mappings on the way are made.

    Which keys exist is checked when the result is parsed, by the value that it describes. A list is indexed by number.
    """
    result: dict[str, Any] = copy.deepcopy(dict(config))
    for assignment in assignments:
        set_path(result, *read_assignment(assignment))
    return result


def read_assignment(assignment: str) -> tuple[str, Any]:
    """`path=value` as path and value, which is read as YAML. Raises UserError for another form."""
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise UserError(f"--set {assignment!r} is not of the form key=value, e.g. --set recipe.optimizer.lr=1e-3")
    try:
        return path.strip(), load_yaml(text)
    except RepeatedKey as error:
        raise UserError(f"--set {assignment!r}: {error}\nkeep one of them") from None
    except (yaml.YAMLError, RecursionError):
        return path.strip(), text


def only_how(overrides: Iterable[str]) -> bool:
    """Whether `overrides` say only how runs are carried out, not what is trained."""
    return all(text.strip().startswith(EXECUTION) for text in overrides)


def trained_otherwise(overrides: Iterable[str]) -> tuple[str, ...]:
    """Those of --set's `overrides` that change what is trained, not only how that is carried out; without blanks."""
    return tuple(sorted(_tidy(text) for text in overrides if not only_how([text])))


def _tidy(text: str) -> str:
    path, equals, value = text.partition("=")
    return f"{path.strip()}{equals}{value.strip()}"


def set_path(config: dict[str, Any], path: str, value: Any) -> None:
    """Set `config[a][b][c] = value` for the path `a.b.c`, in place. `budget.X` replaces the other lengths."""
    keys = path.split(".")
    here: Any = config
    for depth, key in enumerate(keys[:-1]):
        here = _step(here, key, ".".join(keys[: depth + 1]), path)
    last = keys[-1]
    if isinstance(here, list):
        here[_index(here, last, path)] = value
        return
    if path in ("budget.epochs", "budget.steps", "budget.samples"):
        here.clear()
    here[last] = value


def _step(here: Any, key: str, sofar: str, path: str) -> Any:
    if isinstance(here, list):
        return here[_index(here, key, path)]
    if here.get(key) is None:
        here[key] = {}
    if not isinstance(here[key], (dict, list)):
        raise UserError(f"--set {path}: {sofar} is the value {here[key]!r} and has no keys below it")
    return here[key]


def _index(items: list[Any], key: str, path: str) -> int:
    if not key.isdigit() or int(key) >= len(items):
        raise UserError(f"--set {path}: {key!r} is no position in a list of {len(items)}; count from 0")
    return int(key)
