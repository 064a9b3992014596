"""Configuration files, read as plain keys and values; what does not parse is told with its line and column."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import yaml

from levelfield.errors import UserError


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises UserError naming file and line where it does not parse."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"cannot read {path}: it is not UTF-8 text\nsave it as UTF-8") from None
    return parse_yaml(text, str(path))


def read_mapping(path: Path) -> dict[str, Any]:
    """As `read_yaml`; a file that ends in .json is read as JSON, whose texts stay texts whatever they look like."""
    if path.suffix != ".json":
        return read_yaml(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_object)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} must hold keys and values (a JSON object), not {type(value).__name__}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of its pairs. Raises ValueError where a key stands twice."""
    result = dict(pairs)
    if len(result) != len(pairs):
        key = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
        raise ValueError(f"{key!r} is given twice in one object; keep one of them")
    return result


class RepeatedKey(yaml.YAMLError):
    """A key that one mapping holds twice: YAML forbids it, and PyYAML would silently keep the later value."""

    def __init__(self, key: str, lines: tuple[int, int]) -> None:
        self.key, self.lines = key, lines
        super().__init__(f"{key!r} is given at line {lines[0]} and again at line {lines[1]}")


class _EachKeyOnce(yaml.constructor.SafeConstructor):
    """Refuses repeated keys in the composed document: later, `<<` has put keys into mappings that may overrule them."""

    def construct_document(self, node: yaml.Node) -> Any:
        _refuse_repeated_keys(node, set())
        return super().construct_document(node)


_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(
    r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class _Numbers(yaml.resolver.Resolver):
    """Numbers are what they look like. YAML 1.1, which PyYAML reads, takes 0224 for 148 (octal), 1:30 for 90, 1_0 for
    10 and 1e-3 for text: all but the last are texts here, which a key of a number refuses or takes as it is written. A
    date is a text, too."""


def _resolvers() -> dict[str | None, list[tuple[str, re.Pattern[str]]]]:
    """By first character those of PyYAML that stay, and those of numbers."""
    other = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp")}
    kept = yaml.resolver.Resolver.yaml_implicit_resolvers
    found = {first: [one for one in tried if one[0] not in other] for first, tried in kept.items()}
    for first in "-+.0123456789":
        whole = () if first == "." else (("tag:yaml.org,2002:int", re.compile(f"(?:{_INT.pattern})$")),)
        real = ("tag:yaml.org,2002:float", re.compile(f"(?:{_FLOAT.pattern})$"))
        found[first] = [*found.get(first, []), *whole, real]
    return found


_Numbers.yaml_implicit_resolvers = _resolvers()


class _Plain(_EachKeyOnce, _Numbers, yaml.SafeLoader):
    """PyYAML's own parser."""


class _Quick(_EachKeyOnce, _Numbers, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml where PyYAML was built with it: several times as fast."""


def _refuse_repeated_keys(node: yaml.Node, seen: set[int], above: frozenset[int] = frozenset()) -> None:
    """Raises RepeatedKey for a mapping at or below `node` that holds a key twice, RecursionError for what is among the
    nodes `above` itself; aliases are looked at once."""
    if id(node) in above:
        raise RecursionError
    if id(node) in seen:
        return
    seen.add(id(node))
    above |= {id(node)}
    if isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                name, line = (key.tag, key.value), key.start_mark.line + 1
                if name in lines:
                    raise RepeatedKey(key.value, (lines[name], line))
                lines[name] = line
            _refuse_repeated_keys(value, seen, above)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item, seen, above)


def load_yaml(text: str) -> Any:
    """`text` as plain values. Raises yaml.YAMLError, in the words of PyYAML's own parser; RepeatedKey among them;
    RecursionError for what holds itself or is too deep."""
    try:
        return yaml.load(text, _Quick)
    except RepeatedKey:
        raise
    except yaml.YAMLError:
        return yaml.load(text, _Plain)


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """`text` as a YAML mapping; `where` names it in errors."""
    try:
        value = load_yaml(text)
    except RepeatedKey as error:
        raise UserError(f"{where}: {error}\nkeep one of them: the other would be lost without a word") from None
    except RecursionError:
        raise UserError(f"{where} is nested too deeply, or holds itself by an alias (&, *)\nmend that part") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        problem = getattr(error, "problem", None) or "not YAML"
        raise UserError(
            f"{where} does not parse as YAML{line}: {problem}\nmend that line, or its indentation (spaces, no tabs)"
        ) from None
    if value is None:
        raise UserError(f"{where} is empty: it must hold keys and values (a YAML mapping)")
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else type(value).__name__
        raise UserError(f"{where} must hold keys and values (a YAML mapping), not {kind}")
    result: dict[str, Any] = value
    return result
