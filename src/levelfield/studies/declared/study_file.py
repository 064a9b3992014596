"""Where a study's YAML is read: the studies that ship with the package, by name, and files of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from levelfield.errors import UserError, unknown
from levelfield.spec.yaml_files import parse_yaml, read_yaml


def list_studies() -> list[str]:
    """Names of the studies that ship with the package."""
    folder = resources.files("levelfield.studies") / "shipped"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_study_file(name: str | Path) -> tuple[dict[str, Any], str]:
    """The keys of the shipped study `name`, or of a file that ends in .yaml, and what errors are to call it.

    Raises UserError for an unknown name or an unreadable file; what the keys are is not looked at.
    """
    text = str(name)
    if text.endswith((".yaml", ".yml")):
        path = Path(text)
        if not path.is_file():
            raise UserError(f"cannot read {path}: no such file\n`levelfield study list` names the shipped studies")
        return {"name": path.stem, **_anchored(read_yaml(path), path.parent)}, text
    if text not in list_studies():
        raise unknown("study", text, list_studies(), "or give a file ending in .yaml")
    source = resources.files("levelfield.studies") / "shipped" / f"{text}.yaml"
    values = parse_yaml(source.read_text(encoding="utf-8"), f"study {text}")
    return {"name": text, **values}, f"study {text}"


def _anchored(value: Any, folder: Path, key: str = "") -> Any:
    """`value` with recipe files named relative to the study file made relative to where we are."""
    if isinstance(value, Mapping):
        return {name: _anchored(item, folder, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_anchored(item, folder, key) for item in value]
    if key in ("recipe", "recipes") and isinstance(value, str) and value.endswith((".yaml", ".yml")):
        return str(folder / value)
    return value


def is_study_row(text: str) -> bool:
    """Whether `text` is STUDY:ROW, of a shipped study or a .yaml file."""
    study, colon, _ = text.rpartition(":")
    return bool(colon) and (study.endswith((".yaml", ".yml")) or study in list_studies())
