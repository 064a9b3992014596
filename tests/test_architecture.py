"""The house rules that a machine can check: imports go down only, names stay, --help stays quick."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import pytest

import levelfield

SOURCE = Path(levelfield.__file__).parent
FLOORS = [
    {"cli"},
    {"studies.running"},
    {"studies.results"},
    {"page", "analysis"},
    {"tables"},
    {"studies.declared"},
    {"training"},
    {"data.checks"},
    {"models", "data", "evaluation", "cost", "statistics"},
    {"data.loading"},
    {"data.store"},
    {"data.sources", "data.augment"},
    {"data.ragged_images", "data.stratified_sampling"},
    {"spec", "runs", "recipes", "data.cache_folder", "data.to_device"},
    {"randomness", "progress", "errors", "allocator", "float32"},
]
"""From the roof down; rooms of one floor do not know one another, but for those below. A room is a folder or a file,
and the longest name counts: what lies in `data/store` belongs to `data.store`."""
ALLOWED_SIDEWAYS = {("runs", "spec"), ("spec", "recipes"), ("progress", "errors")}
ALLOWED_UP = {
    ("tables", "studies.results"), ("tables", "studies.running"), ("studies.declared", "studies.running"),
    ("studies.declared", "studies.results"), ("studies.declared", "tables"), ("studies.results", "studies.running"),
    ("studies.running", "studies"),
}  # fmt: skip
"""Still to be turned round."""
ROOMS = {name for names in FLOORS for name in names}


def room(module: str) -> str | None:
    """The room of a module of ours; None of another's."""
    parts = module.split(".")
    if parts[0] != "levelfield" or len(parts) < 2:
        return None
    names = [".".join(parts[1 : end + 1]) for end in range(1, len(parts))]
    return next((name for name in reversed(names) if name in ROOMS), parts[1])


def imports() -> list[tuple[str, str, str]]:
    """(file, importing room, imported room) for every import of one room by another, also inside functions."""
    found = []
    for path in SOURCE.rglob("*.py"):
        relative = path.relative_to(SOURCE)
        if relative.parts[0].startswith("__"):
            continue
        own = room(".".join(("levelfield", *relative.with_suffix("").parts)))
        assert own is not None
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            for module in modules:
                other = room(module)
                if other is not None and other != own:
                    found.append((str(relative), own, other))
    return found


def test_imports_go_down_only() -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    wrong = []
    for file, own, other in imports():
        if own == "studies":
            continue
        assert own in floor and other in floor | {"studies": 0}, f"{file}: {own} or {other} is no room of the house"
        down = floor[own] < floor.get(other, 0)
        if not down and (own, other) not in ALLOWED_SIDEWAYS | ALLOWED_UP:
            wrong.append(f"{file}: {own} imports {other}")
    assert wrong == []


def test_no_file_has_outgrown_its_idea() -> None:
    long = {str(p.relative_to(SOURCE)): n for p in SOURCE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 450}
    assert long == {}
    assert not {p.stem for p in SOURCE.rglob("*.py")} & {"utils", "util", "helpers", "common", "misc"}


def test_public_names_are_these_and_documented() -> None:
    assert sorted(levelfield.__all__) == [
        "Recipe", "RunSpec", "Study", "create_model", "data", "evaluate", "list_models", "load_run", "open_data",
        "register_model", "train",
    ]  # fmt: skip
    for name in levelfield.__all__:
        assert len(getattr(levelfield, name).__doc__ or "") > 40, name


def test_recipes_and_studies_are_inside_the_package() -> None:
    for folder, name in (("recipes", "cpu-fast.yaml"), ("studies/shipped", "quickstart.yaml")):
        assert (resources.files("levelfield") / folder / name).is_file()


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["study", "--help"]])
def test_help_does_not_wait_for_torch(arguments: list[str]) -> None:
    code = "import sys; sys.argv = ['levelfield', *sys.argv[1:]]\n"
    code += "from levelfield.cli.app import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().endswith("False"), "torch is imported for --help"
    assert "Usage" in done.stdout
    assert time.perf_counter() - begin < 30


def test_the_top_level_commands_are_frozen() -> None:
    from typer.main import get_command

    from levelfield.cli.app import app

    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert commands == {"models", "data", "train", "eval", "study", "profile", "report", "analyze"}
    assert len(commands) <= 10
