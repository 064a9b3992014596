"""`docs/reference/json.md` holds: every field that a command prints is in it, of the type that it says."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from every_command import CODES, LINES, InOrder, commands, prepare
from typer.main import get_command
from warm_start import WarmStart

from levelfield.cli.app import app
from levelfield.cli.json_versions import JSON_VERSIONS, VERSION_KEY

pytestmark = pytest.mark.xdist_group("every command as JSON")
"""A line finds what those before it left in the folder that they share."""

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json.md"
HEADING = re.compile(r"^## (.+) \(version (\d+)\)$")
FIELD = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| [^|]+ \|$")
KINDS = {
    "text": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "whole number": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "true or false": lambda value: isinstance(value, bool),
    "any": lambda value: True,
}


class Answered(NamedTuple):
    code: int
    out: str
    err: str


def documented() -> dict[str, tuple[int, dict[str, str]]]:
    """By command, its version and the type of every field."""
    found: dict[str, tuple[int, dict[str, str]]] = {}
    here: dict[str, str] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if heading := HEADING.match(line):
            here = {}
            for name in heading[1].split(", "):
                found[name] = int(heading[2]), here
        elif (field := FIELD.match(line)) and found:
            here[field[1]] = field[2]
    return found


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything that holds no more; an empty list or object holds nothing."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flat(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            yield from flat(item, path + "[]")
    else:
        yield path, value


def type_of(path: str, fields: dict[str, str]) -> str | None:
    """What the page says of a path: of itself, else of the longest pattern that covers it."""
    if path in fields:
        return fields[path]
    covering = [name for name in fields if name.endswith("*") and path.startswith(name.removesuffix("*"))]
    return fields[max(covering, key=len)] if covering else None


def fits(value: Any, kind: str) -> bool:
    plain = kind.removesuffix(" or null")
    return value is None if value is None and kind.endswith(" or null") else bool(KINDS[plain](value))


def takes_json(name: str) -> bool:
    here: Any = get_command(app)
    for word in name.split():
        here = here.commands[word]
    return any("--json" in option.opts for option in here.params)


def json_of(line: str, folder: Path, start: WarmStart) -> Answered:
    out, err = folder / "stdout.txt", folder / "stderr.txt"
    asked = f"{line} --json" if answers_json(line) else line
    start.ask(asked, folder, {**os.environ, "OMP_NUM_THREADS": "1"}, str(out), str(err))
    return Answered(start.exit_code(), out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))


def name_of(line: str) -> str:
    return next(name for name, lines in LINES.items() if line in lines)


def answers_json(line: str) -> bool:
    return name_of(line) in JSON_VERSIONS and "--show-schedule" not in line and name_of(line) not in CODES


@pytest.fixture(scope="module")
def answer_to(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InOrder[Answered]]:
    made = tmp_path_factory.mktemp("json")
    prepare(made)
    with WarmStart() as start:
        yield InOrder(lambda line: json_of(line, made, start))


def test_every_command_that_takes_json_has_a_version_and_a_section() -> None:
    able = {name for name in commands() if takes_json(name)} - {"ablate", "scale"}  # which answer as `study run`
    assert able == JSON_VERSIONS.keys()
    assert {name: version for name, (version, _) in documented().items()} == JSON_VERSIONS
    assert all(
        kind.removesuffix(" or null") in KINDS for _, fields in documented().values() for kind in fields.values()
    )


@pytest.mark.parametrize("line", [line for name, lines in LINES.items() for line in lines])
def test_what_is_printed_is_what_the_page_says(line: str, answer_to: InOrder[Answered]) -> None:
    name, done = name_of(line), answer_to(line)
    assert done.code == CODES.get(name, 0), done.err
    if not answers_json(line):
        return
    answer = json.loads(done.out)
    assert next(iter(answer)) == VERSION_KEY and answer.pop(VERSION_KEY) == JSON_VERSIONS[name]
    fields = documented()[name][1]
    wrong = {
        path: value for path, value in flat(answer) if (kind := type_of(path, fields)) is None or not fits(value, kind)
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("value", "kind", "fit"),
    [(1, "number", True), (1.5, "whole number", False), (None, "text", False), (None, "text or null", True),
     (True, "number", False), ("a", "true or false", False)],
)  # fmt: skip
def test_types_are_told_apart(value: object, kind: str, fit: bool) -> None:
    assert fits(value, kind) is fit
    assert type_of("a.b", {"a.*": "text"}) == "text" and type_of("b", {"a.*": "text"}) is None


def test_what_the_skill_says_of_a_table_are_fields_of_its_answer() -> None:
    text = (PAGE.parents[2] / "SKILL.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"^In the table's JSON, .*?\n\n", text, re.MULTILINE | re.DOTALL)
    said = set(re.findall(r"`([^`]+)`", told))
    values = {"better", "worse", "equivalent", "undecided", "unfair"}
    assert values < said and said - values <= set(documented()["study report"][1])
