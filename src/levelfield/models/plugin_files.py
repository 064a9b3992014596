"""What a plugin of the user is made of: its file and those beside it that it or they import."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from levelfield.errors import UserError

_plugins: set[Path] = set()
_imported: dict[Path, str] = {}
"""Files beside plugins as this process first saw them: Python keeps what it imported, whatever becomes of the file."""


def files_of_plugins() -> set[Path]:
    """The plugins that this process has imported, and the files beside them that they lead to."""
    return {*_plugins, *_imported}


def plugin_digest(file: Path) -> str:
    """SHA-256 of the plugin `file` (resolved), imported already, and of what it imports from its own folder or below.

    That of the file alone where it imports nothing from there. Raises UserError where one of those files has changed
    since it was first asked for.
    """
    _plugins.add(file)
    source = file.read_bytes()
    told = hashlib.sha256(source)
    for beside in sorted(_beside(file) - {file}):
        digest = hashlib.sha256(beside.read_bytes()).hexdigest()
        if _imported.setdefault(beside, digest) != digest:
            raise UserError(
                f"plugin {file}: {beside.name}, which it imports, has changed since this process imported it\n"
                "start a new process: Python does not import a file twice"
            )
        told.update(f"\0{beside.relative_to(file.parent).as_posix()}\0{digest}".encode())
    return told.hexdigest()


def _beside(file: Path) -> set[Path]:
    """The Python files at or below the folder of `file` that it leads to."""
    folder, found, ahead = file.parent, set[Path](), [file]
    while ahead:
        here = ahead.pop()
        if here in found:
            continue
        found.add(here)
        try:
            tree = ast.parse(here.read_bytes())
        except (SyntaxError, ValueError):  # importing it says so
            continue
        for name in _names(tree):
            ahead += [path for path in _files(name, here, folder) if path not in found]
    return found


def _names(tree: ast.AST) -> Iterator[str]:
    """What a file imports, dotted, with as many dots before it as it is relative; of `from a import b` a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield start
            yield from (f"{start}{'' if start.endswith('.') else '.'}{alias.name}" for alias in node.names)


def _files(name: str, importer: Path, folder: Path) -> Iterator[Path]:
    """The files at or below `folder` that importing `name` in `importer` runs: the packages on the way, too."""
    dots = len(name) - len(name.lstrip("."))
    start = importer.parents[min(dots, len(importer.parents)) - 1] if dots else folder
    parts = [part for part in name.lstrip(".").split(".") if part]
    for length in range(1, len(parts) + 1):
        place = start.joinpath(*parts[:length])
        places = [place.with_name(place.name + ".py"), place / "__init__.py"]
        module = None if dots else sys.modules.get(".".join(parts[:length]))
        if known := getattr(module, "__file__", None):
            places = [Path(known)]  # where Python found it, on whatever path
        for path in (each.resolve() for each in places):
            own = path.is_relative_to(folder) and "site-packages" not in path.parts
            if own and path.suffix == ".py" and path.is_file():
                yield path
