"""Files of keys and values: none is lost without a word."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from levelfield.errors import UserError
from levelfield.spec import yaml_files
from levelfield.spec.overrides import apply
from levelfield.spec.yaml_files import parse_yaml, read_mapping


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("models: [a, b]\nname: x\nmodels: [a]\n", "models", (1, 3)),
        ("recipe:\n  optimizer:\n    lr: 1\n    lr: 2\n", "lr", (3, 4)),
        ("rows:\n  - {name: a, model: b}\n  - {name: c,\n     model: d, name: e}\n", "name", (3, 4)),
        ("a: &a\n  b: 1\n'b': 2\nc: *a\n\"a\": 3\n", "a", (1, 5)),
    ],
)
def test_a_key_given_twice_is_refused_with_both_lines(text: str, key: str, lines: tuple[int, int]) -> None:
    with pytest.raises(UserError) as error:
        parse_yaml(text, "study.yaml")
    first, remedy = str(error.value).split("\n")
    assert first == f"study.yaml: {key!r} is given at line {lines[0]} and again at line {lines[1]}"
    assert "keep one" in remedy


def test_a_key_that_overrules_a_merged_one_is_no_second_key() -> None:
    text = "x:\n  a: &a {<<: &z {lr: 1, wd: 2}, lr: 3}\nb: {<<: *a, lr: 4}\nc: {lr: 5}\n"
    values = parse_yaml(text, "recipe.yaml")
    assert values["x"]["a"] == {"lr": 3, "wd": 2}
    assert (values["b"], values["c"]) == ({"lr": 4, "wd": 2}, {"lr": 5})


def test_a_key_given_twice_in_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"model": {"name": "a", "name": "b"}}')
    with pytest.raises(UserError, match=r"run\.json: 'name' is given twice"):
        read_mapping(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("32", 32), ("-3", -3), ("0", 0), ("+4", 4), ("0.5", 0.5), (".5", 0.5), ("5.", 5.0), ("1e-3", 0.001),
        ("12e3", 12000.0),
        ("1.5e+3", 1500.0), (".inf", math.inf), ("0224", "0224"), ("010", "010"), ("0b11", "0b11"), ("0x10", "0x10"),
        ("1_000", "1_000"), ("1:30", "1:30"), ("1:30.5", "1:30.5"), ("2026-11-27", "2026-11-27"),
        ("1.2.3", "1.2.3"), ("-", [None]),
        ("'1e-3'", "1e-3"), ("'32'", "32"), ("true", True), ("null", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("loader", [yaml_files._Plain, yaml_files._Quick])
def test_a_number_is_what_it_looks_like(text: str, value: object, loader: type[yaml.SafeLoader]) -> None:
    """YAML 1.1 reads 0224 as 148 and 1:30 as 90: an image size, a learning rate that nobody wrote."""
    found = yaml.load(text, loader)
    assert found == value and type(found) is type(value)
    assert text.startswith(("-", "'")) or apply({}, [f"x={text}"]) == {"x": value}


def test_what_is_written_is_read_again() -> None:
    values = ["0224", "1e-3", "1:30", "2026-11-27", "yes", 1e-3, 3e30, 5, -0.5, math.inf, None, True]
    assert parse_yaml(yaml.safe_dump({"x": values}), "x.yaml") == {"x": [*values[:1], 1e-3, *values[2:]]}


def test_a_key_given_twice_in_a_set_value_is_refused() -> None:
    with pytest.raises(UserError, match="'a' is given at line 1 and again at line 1"):
        apply({}, ["x={a: 1, a: 2}"])
