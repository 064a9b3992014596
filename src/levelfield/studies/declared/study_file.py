"""Where a study's YAML is read: the studies that ship with the package, by name, and files of one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from levelfield.errors import UserError, unknown
from levelfield.runs import write_text
from levelfield.spec.yaml_files import parse_yaml, read_yaml

WRITTEN_BY: Final = "# Written by "
"""How a study file begins that a command wrote."""
AS_WRITTEN: Final = "# Not written over once edited; as written it is "
"""How its second line begins: a digest of all below follows."""


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
        return {"name": path.stem, **anchored(read_yaml(path), path.parent)}, text
    if text not in list_studies():
        raise unknown("study", text, list_studies(), "or give a file ending in .yaml")
    source = resources.files("levelfield.studies") / "shipped" / f"{text}.yaml"
    values = parse_yaml(source.read_text(encoding="utf-8"), f"study {text}")
    return {"name": text, **values}, f"study {text}"


class _Spelt(yaml.SafeDumper):
    """Every value where it stands, for a file that a person changes: no value is a reference to another."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def write_study_file(path: Path, values: Mapping[str, Any], written_by: str) -> None:
    """Write the keys of a study, or of a recipe, as YAML, with the command that wrote it above. Raises UserError where
    a file is there that no such command wrote, or that was edited since."""
    keys = yaml.dump(dict(values), Dumper=_Spelt, sort_keys=False, width=100, allow_unicode=True)
    before = path.read_text(encoding="utf-8") if path.exists() else WRITTEN_BY
    if not before.startswith(WRITTEN_BY):
        raise UserError(f"{path} is there already, and was not written by this command\nname another with --file")
    _, _, below = before.partition("\n")
    mark, _, held = below.partition("\n")
    if mark.startswith(AS_WRITTEN) and mark != _mark(held) and held != keys:
        raise UserError(
            f"{path} was edited, which writing it again would undo\n"
            "go on with it by levelfield study run, name another with --file, or remove it"
        )
    write_text(path, f"{WRITTEN_BY}{written_by}\n{_mark(keys)}\n{keys}")


def _mark(keys: str) -> str:
    """The line by which it can be told that the keys below it are those that were written."""
    return AS_WRITTEN + hashlib.sha256(keys.encode()).hexdigest()[:12]


def anchored(value: Any, folder: Path, key: str = "") -> Any:
    """`value` with recipe files named relative to the study file made relative to where we are."""
    if isinstance(value, Mapping):
        return {name: anchored(item, folder, name) for name, item in value.items()}
    if isinstance(value, list):
        return [anchored(item, folder, key) for item in value]
    if key in ("recipe", "recipes") and isinstance(value, str) and value.endswith((".yaml", ".yml")):
        return str(folder / value)
    return value


def is_study_row(text: str) -> bool:
    """Whether `text` is STUDY:ROW, of a shipped study or a .yaml file."""
    study, colon, _ = text.rpartition(":")
    return bool(colon) and (study.endswith((".yaml", ".yml")) or study in list_studies())
