"""Configuration files, read as plain keys and values; what does not parse is told with its line and column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from levelfield.errors import UserError
from levelfield.spec.overrides import as_number


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises UserError naming file and line where it does not parse."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"cannot read {path}: it is not a text file") from None
    return parse_yaml(text, str(path))


def read_mapping(path: Path) -> dict[str, Any]:
    """As `read_yaml`; a file that ends in .json is read as JSON, whose texts stay texts whatever they look like."""
    if path.suffix != ".json":
        return read_yaml(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} must hold keys and values (a JSON object), not {type(value).__name__}")
    return value


def load_yaml(text: str) -> Any:
    """`text` as plain values, by libyaml where PyYAML was built with it: several times as fast. Raises yaml.YAMLError,
    in the words of PyYAML's own parser."""
    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return yaml.safe_load(text)


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """`text` as a YAML mapping; `where` names it in errors."""
    try:
        value = as_number(load_yaml(text))
    except RecursionError:
        raise UserError(f"{where} is nested too deeply, or holds itself by an alias (&, *)\nmend that part") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        problem = getattr(error, "problem", None) or "not YAML"
        raise UserError(f"{where} does not parse as YAML{line}: {problem}\nmend that line") from None
    if not isinstance(value, dict):
        raise UserError(f"{where} must hold keys and values (a YAML mapping), not {type(value).__name__}")
    result: dict[str, Any] = value
    return result
