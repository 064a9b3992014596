"""Where a user's plugin is: looked for before torch is loaded, so that a misspelt path is answered at once."""

from __future__ import annotations

from pathlib import Path

from levelfield.errors import UserError


def plugin_file(path: str | Path) -> Path:
    """The Python file that `path` names, resolved. Raises UserError for what is none, with what was perhaps meant."""
    file = Path(path).expanduser().resolve()
    if file.is_dir():
        inside = sorted(each.name for each in file.glob("*.py"))
        such = Path(path) / (inside[0] if inside else "my_models.py")
        raise UserError(
            f"plugin {str(path)!r} is a folder\nname the Python file that registers models, as in --plugin {such}"
        )
    if not file.is_file():
        meant = Path(f"{path}.py")
        if meant.expanduser().is_file():
            raise UserError(f"plugin {str(path)!r}: no such file; did you mean {str(meant)!r}?")
        raise UserError(f"plugin {str(path)!r}: no such file; give the path of a Python file that registers models")
    if file.suffix != ".py":
        raise UserError(f"plugin {str(path)!r} is no Python file; its name must end in .py")
    return file
