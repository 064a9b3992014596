"""The house rules that a machine can check: imports go down only, names stay, --help stays quick."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from pathlib import Path

import pytest

import levelfield

SOURCE = Path(levelfield.__file__).parent
FLOORS = [
    {"cli"},
    {"study"},
    {"studies.running"},
    {"studies.results"},
    {"paper"},
    {"page", "analysis", "exports"},
    {"tables"},
    {"studies.declared"},
    {"training"},
    {"data.checks"},
    {"models", "data", "evaluation", "cost", "statistics"},
    {"data.loading"},
    {"data.store"},
    {"data.sources", "data.augment"},
    {"native", "module_mode", "known_models", "plain_table", "data.ragged_images", "data.stratified_sampling"},
    {"spec", "runs", "recipes", "schemas", "precision", "data.cache_folder", "data.to_device"},
    {
        "randomness",
        "progress",
        "notebook",
        "errors",
        "memory_allocator",
        "float32",
        "system",
        "thread_waiting",
        "units",
        "without_compiler",
        "optimizers_without_compiler",
    },
]
"""From the roof down; rooms of one floor do not know one another, but for those below. A room is a folder or a file,
and the longest name counts: what lies in `data/store` belongs to `data.store`."""
ALLOWED_SIDEWAYS = {
    ("runs", "spec"),
    ("spec", "recipes"),
    ("progress", "errors"),
    ("progress", "units"),
    ("progress", "notebook"),
    ("optimizers_without_compiler", "without_compiler"),
}
LONG_FILES = {"native/outgrid.cpp"}
"""C++, and tables: longer than 300 lines on purpose."""
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
        assert own in floor and other in floor, f"{file}: {own} or {other} is no room of the house"
        down = floor[own] < floor[other]
        if not down and (own, other) not in ALLOWED_SIDEWAYS:
            wrong.append(f"{file}: {own} imports {other}")
    assert wrong == []


def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name; a folder's is its `__init__.py`."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = ("levelfield", *path.relative_to(SOURCE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_files() -> dict[str, set[str]]:
    """Each module of ours and those that it imports, inside functions and under TYPE_CHECKING too."""
    known = modules()
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        wanted = []
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                wanted += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                wanted += [each if each in known else node.module for each in whole]
        graph[name] = {each for each in wanted if each in known} - {name}
    return graph


def test_no_import_goes_in_a_circle() -> None:
    try:
        TopologicalSorter(imported_files()).prepare()
    except CycleError as error:
        pytest.fail("imports go in a circle: " + " <- ".join(error.args[1]))


def test_no_file_has_outgrown_its_idea() -> None:
    files = [path for path in SOURCE.rglob("*") if path.suffix in {".py", ".cpp", ".js", ".css"}]
    lines = {path.relative_to(SOURCE).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    long = {name: count for name, count in lines.items() if count > 300}
    assert long.keys() <= LONG_FILES, long
    assert not {path.stem for path in files} & {"utils", "util", "helpers", "common", "misc"}


def test_no_function_is_longer_than_a_screen() -> None:
    long = {}
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if (length := node.end_lineno - node.lineno + 1) > 60:
                    long[f"{name}.{node.name}"] = length
    assert long == {}


def test_files_of_tests_have_names_of_their_own() -> None:
    """pytest imports them by their base name: of two that share one it collects the first, and ends with an error."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == [] and len(names) > 200


def test_nobody_but_its_owner_sets_a_modules_mode() -> None:
    """`load_finished_run.py` hands a finished network out in evaluation mode for good."""

    def sets(node: ast.AST) -> bool:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return node.func.attr in {"eval", "train", "requires_grad_"}
        targets = node.targets if isinstance(node, ast.Assign) else []
        return any(isinstance(target, ast.Attribute) and target.attr == "training" for target in targets)

    found = {name for name, path in modules().items() if any(map(sets, ast.walk(ast.parse(path.read_text("utf-8")))))}
    assert found == {"levelfield.module_mode", "levelfield.training.load_finished_run"}


def test_every_folder_and_file_says_what_it_holds() -> None:
    """In a docstring whose first line stands by itself: the list of files in docs/ARCHITECTURE.md is made of them."""
    files = sorted(SOURCE.rglob("*.py"))
    missing = {folder for path in files if not (folder := path.parent / "__init__.py").exists()}
    first = {
        path: (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0] for path in files
    }
    assert not missing
    assert {str(path.relative_to(SOURCE)): line for path, line in first.items() if not line.endswith((".", "?"))} == {}


def test_public_names_are_these_and_documented() -> None:
    assert sorted(levelfield.__all__) == [
        "Recipe", "RunSpec", "Study", "create_model", "data", "evaluate", "list_models", "load_run", "open_data",
        "read_table", "register_model", "train",
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
    assert commands == {
        "ablate", "analyze", "card", "data", "eval", "export", "gate", "hub", "init", "models", "paper", "predict",
        "profile", "record", "report", "scale", "schema", "shrink", "study", "train",
    }  # fmt: skip
