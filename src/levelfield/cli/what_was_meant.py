"""A folder, run, study or model given where another of them belongs: what was meant, or the command that takes it."""

from __future__ import annotations

from pathlib import Path

from levelfield.cli.output import messages
from levelfield.errors import UserError


def run_meant(path: Path) -> Path:
    """The run that `path` names: itself, or the one run below it. Raises UserError where there are several or none."""
    from levelfield.runs import RunFolder, find_runs

    if not path.is_dir() or RunFolder(path).exists():
        RunFolder(path).description()  # raises for what is no run
        return path
    runs = [run.path for run in find_runs(path) if run.finished]
    if len(runs) == 1:
        messages.print(f"{path} holds one run: {runs[0]}")
        return runs[0]
    if not runs:
        RunFolder(path).description()
    what = "a study's folder" if (path / "study.json").is_file() else f"a folder of {len(runs)} finished runs"
    raise UserError(
        f"{path} is {what}, not a run: name one of its runs, e.g. {runs[0]}\n"
        f"all of them in a table: levelfield report {path}"
    )


def study_meant(name: str, out: Path | None) -> tuple[str, Path | None]:
    """The study and its folder, where `name` may be that folder. Raises UserError, with the command that takes it, for
    a folder without a study and for the name of a model."""
    from levelfield.known_models import is_known
    from levelfield.studies.declared.study_file import list_studies

    folder = Path(name)
    if folder.is_dir() and name not in list_studies():
        return _study_in(folder), out or folder
    if name not in list_studies() and is_known(name):
        raise UserError(
            f"{name} is a model, no study: levelfield train --model {name} --data digits trains it\n"
            f"a study that compares it: levelfield init --model {name} --data digits"
        )
    return name, out


def _study_in(folder: Path) -> str:
    """The study that was run in `folder`, by name or by its file."""
    from levelfield.studies.declared.study_file import list_studies
    from levelfield.studies.results.study_request import read_request
    from levelfield.tables.sweeps import SWEEP

    if (asked := read_request(folder)) is None:
        if (folder / SWEEP).is_dir():
            raise UserError(
                f"{folder} holds the trials of a sweep, and no study was run in it yet\n"
                f"name the study, a file or its name, with --out {folder}: levelfield study sweep goes on, "
                "levelfield study run compares"
            )
        raise UserError(f"{folder} is no folder of a study: levelfield report {folder} shows the runs in it")
    if asked.source in list_studies() or Path(asked.source).is_file():
        return asked.source
    raise UserError(
        f"the study file of {folder}, {asked.source}, is not here: name it as it is called now, with --out {folder}\n"
        f"the table without it: levelfield report {folder}"
    )


def folder_meant(folder: Path) -> Path:
    """The folder to report on, where `folder` may be a study's name. Raises UserError, with the command, for others."""
    from levelfield.studies.declared.study_file import list_studies

    if folder.exists():
        return folder
    name = str(folder)
    if name in list_studies() or folder.suffix in (".yaml", ".yml"):
        usual = Path("runs") / folder.stem if folder.suffix in (".yaml", ".yml") else Path("runs") / name
        if (usual / "study.json").is_file():
            messages.print(f"{name} is a study: its folder is {usual}")
            return usual
        raise UserError(f"{name} is a study, and {usual} does not hold it: levelfield study report {name} --out FOLDER")
    raise UserError(f"no folder {name}\ngive a folder that levelfield train or levelfield study run wrote")
