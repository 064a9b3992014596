"""Files of keys and values: none is lost without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from levelfield.errors import UserError
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
