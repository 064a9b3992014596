"""The rooms, floors and files of docs/ARCHITECTURE.md, drawn from the code: `python tests/draw_house.py` writes them.

Rooms and floors are those of `test_architecture.py`, arrows are the imports in the code, and what a file holds is the
first line of its docstring. Only what lies between the page's markers is written.
"""

from __future__ import annotations

import ast
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import Final

from test_architecture import FLOORS, SOURCE, imports, room

PAGE: Final = SOURCE.parents[1] / "docs" / "ARCHITECTURE.md"
WIDTH: Final = 120
OTHER_SOURCES: Final = (".cpp", ".js", ".css")
COMMENTS: Final = ("// ", "/* ")
OPEN_TO_ALL: Final = FLOORS[-2:]
"""The two lowest floors are imported from everywhere: arrows down to them would say nothing."""


def floors() -> str:
    """A block of text: the floors from the roof down, and of each room which rooms below it imports."""
    below = defaultdict(set)
    for _, own, other in imports():
        if not any(other in names for names in OPEN_TO_ALL):
            below[own].add(other)
    longest = max(len(_shown(name)) for names in FLOORS for name in names)
    lines = []
    for names in FLOORS:
        lines.append("-" * WIDTH)
        if names in OPEN_TO_ALL:
            lines.append("   ".join(map(_shown, sorted(names))))
            continue
        for name in sorted(names):
            uses = ", ".join(map(_shown, sorted(below[name]))) or "-"
            lines += textwrap.wrap(f"{_shown(name):<{longest}}  {uses}", WIDTH, subsequent_indent=" " * (longest + 2))
    return "\n".join(["```text", f"{'room':<{longest}}  imports", *lines, "```"])


def files() -> str:
    """A list of folders and their files in the order of the floors, with the first line of each file's docstring."""
    folders = defaultdict(list)
    for path in sorted(SOURCE.rglob("*")):
        if path.suffix == ".py" or path.suffix in OTHER_SOURCES:
            folders[path.parent].append(path)
    lines = []
    for folder in sorted(folders, key=lambda folder: (_floor(folder), folder)):
        name = f"{folder.relative_to(SOURCE).as_posix()}/" if folder != SOURCE else "levelfield/"
        init = folder / "__init__.py"
        lines += ["", f"**`{name}`**" + (_first_line(init) if init.exists() else "")]
        lines += [f"- `{path.name}`{_first_line(path)}" for path in folders[folder] if path != init]
    return "\n".join(lines[1:])


def drawn(page: str) -> str:
    """`page` with what lies between its markers drawn anew."""
    for name, text in (("floors", floors()), ("files", files())):
        begin, end = f"<!-- drawn: {name} -->\n", f"<!-- end of {name} -->\n"
        before, _, rest = page.partition(begin)
        _, marker, after = rest.partition(end)
        if not marker:
            raise ValueError(f"{PAGE.name} has no place for the {name}: it needs the lines {begin!r} and {end!r}")
        page = f"{before}{begin}{text}\n{end}{after}"
    return page


def _shown(name: str) -> str:
    """A room as its path: `data.store` as data/store/, `errors` as errors.py."""
    path = SOURCE / name.replace(".", "/")
    return f"{name.replace('.', '/')}/" if path.is_dir() else f"{name.replace('.', '/')}.py"


def _floor(folder: Path) -> int:
    """How far below the roof a folder stands; the package's own folder comes last."""
    own = room(".".join(("levelfield", *folder.relative_to(SOURCE).parts)))
    number_of = {name: number for number, names in enumerate(FLOORS) for name in names}
    return min((number_of[name] for name in number_of if f"{name}.".startswith(f"{own}.")), default=len(FLOORS))


def _first_line(path: Path) -> str:
    """`: ` and the first line of a file's docstring, or of the comment that another language has in its place."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".py":
        lines = (ast.get_docstring(ast.parse("\n".join(lines))) or "").splitlines()
    else:
        lines = [line.strip("/* ") for line in lines if line.startswith(COMMENTS)]
    return f": {lines[0]}" if lines else ""


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
