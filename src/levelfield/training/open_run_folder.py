"""A run's folder as its training begins: whose it is, whether it is finished, and what describes the run in it."""

from __future__ import annotations

from typing import Any, Final

from levelfield.errors import UserError
from levelfield.runs import FolderLock, RunFolder, remove_leftovers, write_json
from levelfield.spec import RunSpec
from levelfield.spec.science_revisions import revisions
from levelfield.training.environment import describe_environment, with_earlier
from levelfield.training.prepare_run import Prepared
from levelfield.training.process_agreement import dotted
from levelfield.training.processes import World

_NAMED: Final = 5
"""Keys named of those in which two configurations differ."""


def open_run_folder(lock: FolderLock, prepared: Prepared, world: World) -> dict[str, Any] | None:
    """Check that the locked folder is this run's, describe it there; the result if it has finished already."""
    folder, identity = RunFolder(lock.folder), prepared.identity
    if folder.exists():
        if folder.identity != identity:
            raise UserError(
                f"{folder.path} holds another run (identity {folder.identity[:12]}, this one is {identity[:12]}): "
                f"{_what_differs(folder, prepared.spec)}\nchoose another --out, or remove that folder"
            )
        if folder.finished:
            return folder.result()
    remove_leftovers(folder.checkpoints)
    (folder.path / "result.json").unlink(missing_ok=True)  # an earlier failure; failures.json keeps it
    description = {
        "identity": identity,
        "revisions": revisions(prepared.spec),
        "reproducible": "by name" if prepared.reproducible else "not reproducible by name",
        "data": {"official": prepared.data.official, "notes": list(prepared.data.notes), "own": prepared.own_data},
        "classes": list(prepared.data.classes),
        "mean": list(prepared.data.mean),
        "std": list(prepared.data.std),
        "run": prepared.spec.model_dump(mode="json"),
    }
    write_json(folder.path / "run.json", description)
    environment = {**describe_environment(prepared.device), "processes": world.size}
    environment |= {"data_checksum": prepared.data.checksum}
    write_json(folder.path / "environment.json", with_earlier(environment, folder.environment()))
    return None


def _what_differs(folder: RunFolder, spec: RunSpec) -> str:
    """The keys in which `spec` is not the run in `folder`, up to five."""
    try:
        there, here = dotted(folder.spec().science()), dotted(spec.science())
    except UserError:
        return "its configuration is one of another version"
    keys = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
    if not keys:
        return "its configuration is the same, but another version made it"
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return f"its configuration differs in {', '.join(keys[:_NAMED])}{more}"
