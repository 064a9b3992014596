"""How each run of a table is made again: its whole configuration as a file, and the command that takes the file.

What is printed is everything: all keys with their values, defaults too, so that it still says the same when a default
has changed, and the number of threads that the run had, which decides how sums round.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from levelfield.runs import RunFolder
from levelfield.spec import RunSpec
from levelfield.spec.weights_taken import KNOWN_BY, ROW, START, TEACHER, Taken, weights_taken
from levelfield.tables.runs_of_row import Trained
from levelfield.tables.table import StudyTable, TableRow

DATA_PLACE: Final = "--data-dir"
PLACE_PARTS: Final = 2
"""The last parts of a run folder's path, row and run: what is kept of it where a study moves to another place."""


@dataclass(frozen=True)
class Setup:
    """Runs of a row that share a configuration: `configuration` is the content of `file`, and the `commands` that take
    it make the runs again, one each; `notes` say what else they need."""

    file: str
    configuration: str
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Run:
    """A run to be made again: `command_folder` is where its command puts it. `folder` is None for a declared one."""

    spec: RunSpec
    file: str
    folder: RunFolder | None

    @property
    def command_folder(self) -> str:
        return f"runs/{self.file.removesuffix('.json')}-seed{self.spec.seed}"


def setups(table: StudyTable, beside: Iterable[str] = ()) -> dict[str, list[Setup]]:
    """The set-ups of every row whose setting is known, by the row's name: of its runs, or as declared without any.
    `beside`: names of files that theirs are not to have."""
    taken = set(beside)
    runs = {row.name: _runs(row, taken) for row in table.rows}
    places = {_place(run.folder.path): run for each in runs.values() for run in each if run.folder is not None}
    places |= {(f"{ROW}{name}", str(run.spec.seed)): run for name, each in runs.items() for run in each}
    return {name: _setups(each, places) for name, each in runs.items() if each}


def printed(spec: RunSpec, threads: int | None = None) -> str:
    """`spec` as the JSON that `levelfield train --config` takes, without the data's place on this machine.

    `threads`: how many it ran with, where it leaves that open.
    """
    values = spec.model_dump(mode="json")
    values["execution"]["data_dir"] = None
    if values["execution"]["threads"] is None:
        values["execution"]["threads"] = threads
    return json.dumps(values, indent=2, ensure_ascii=False)


def without_data_place(commands: str) -> str:
    """`commands`, a line each, without where the data lie on this machine: for texts that others are to read."""
    lines = []
    for line in commands.splitlines():
        words = shlex.split(line)
        if DATA_PLACE in words:
            at = words.index(DATA_PLACE)
            del words[at : at + 2]
        lines.append(shlex.join(words))
    return "\n".join(lines)


def _runs(row: TableRow, taken: set[str]) -> list[_Run]:
    """The runs of a row, finished ones or as declared, those of equal configuration with a file's name in common."""
    runs: list[tuple[RunSpec, RunFolder | None]]
    runs = [(run.spec, run.folder) for run in row.runs.finished if isinstance(run, Trained)]
    files: dict[str, str] = {}
    found = []
    for spec, folder in runs or [(spec, None) for spec in row.runs.specs[:1]]:
        key = _without_seed(spec, folder)
        if key not in files:
            files[key] = _free_name(row.name, taken)
        found.append(_Run(spec, files[key], folder))
    return found


def _without_seed(spec: RunSpec, folder: RunFolder | None) -> str:
    """What equal set-ups have in common: all that is printed but the seed, and which weights of that seed they take."""
    taken = {path: None for key in weights_taken(spec) for path in (key, *KNOWN_BY[key])}
    values = json.loads(printed(spec.changed(taken), _threads(folder)))
    return json.dumps({**values, "seed": None}, sort_keys=True)


def _free_name(row: str, taken: set[str]) -> str:
    stem = "".join(c if c.isalnum() or c in "._-+" else "-" for c in row).lstrip("-") or "run"
    name, count = f"{stem}.json", 2
    while name in taken:
        name, count = f"{stem}-{count}.json", count + 1
    taken.add(name)
    return name


def _threads(folder: RunFolder | None) -> int | None:
    threads = folder.environment().get("threads") if folder is not None else None
    return threads if isinstance(threads, int) and threads > 0 else None


def _place(path: Path) -> tuple[str, ...]:
    return path.parts[-PLACE_PARTS:]


def _setups(runs: Sequence[_Run], places: Mapping[tuple[str, ...], _Run]) -> list[Setup]:
    by_file: dict[str, list[_Run]] = {}
    for run in runs:
        by_file.setdefault(run.file, []).append(run)
    return [_setup(members, places) for members in by_file.values()]


def _setup(runs: Sequence[_Run], places: Mapping[tuple[str, ...], _Run]) -> Setup:
    first = runs[0]
    spec = first.spec
    notes = [f"It needs the file {plugin.path} (SHA-256 {plugin.digest})." for plugin in spec.plugins]
    if any(run.folder is not None and not _by_name(run.folder) for run in runs):
        notes.append("A network or data of the caller's own was given to it in Python: no command makes it again.")
        return Setup(first.file, printed(spec, _threads(first.folder)), (), tuple(notes))
    before = {run.spec.seed: _before(run.spec, places) for run in runs}
    for key, taken in weights_taken(spec).items():
        notes.append(_note(key, taken, next((found[key] for found in before.values() if key in found), None)))
    if moved := [run for run in runs if run.folder is not None and run.spec.identity() != run.folder.identity]:
        seeds = ", ".join(str(run.spec.seed) for run in moved)
        notes.append(f"This version of levelfield makes another run of it than the one shown here (seed {seeds}).")
    spec = spec.changed({key: found.command_folder for key, found in before[spec.seed].items()})
    commands = tuple(_command(run, before[run.spec.seed], alone=len(runs) == 1) for run in runs)
    return Setup(first.file, printed(spec, _threads(first.folder)), commands, tuple(notes))


def _by_name(folder: RunFolder) -> bool:
    return folder.description().get("reproducible") not in (False, "not reproducible by name")


def _before(spec: RunSpec, places: Mapping[tuple[str, ...], _Run]) -> dict[str, _Run]:
    """The runs of this table whose weights `spec` takes, by the key of the place."""
    found = {
        key: places.get((taken.place, str(spec.seed))) or places.get(_place(Path(taken.place)))
        for key, taken in weights_taken(spec).items()
    }
    return {key: run for key, run in found.items() if run is not None}


def _note(key: str, taken: Taken, before: _Run | None) -> str:
    """What else the runs need that take weights at `key`: of the table's run `before`, or of another place."""
    if before is None:
        what = {START: "It starts from the weights in", TEACHER: "It is taught by the run in"}[key]
        return f"{what} {taken.place}, whose content is checked."
    what = {START: "its weights are taken from there", TEACHER: "each teaches the run of its seed"}[key]
    return (
        f"Train the runs of {before.file} first: {what}. Where they come out otherwise in their last digits (another "
        f"processor), they are refused; add --set {KNOWN_BY[key][0]}=null."
    )


def _command(run: _Run, before: Mapping[str, _Run], alone: bool) -> str:
    """The command that makes one run; what its file does not say (another seed than the first) stands in it."""
    words: list[Any] = ["levelfield", "train", "--config", run.file]
    if not alone:
        words += ["--seed", run.spec.seed]
        values = run.spec.model_dump(mode="json")
        for key, found in before.items():
            words += ["--set", f"{key}={found.command_folder}"]
            words += [word for path in KNOWN_BY[key] for word in ("--set", f"{path}={_at(values, path)}")]
    if run.spec.execution.data_dir is not None:
        words += [DATA_PLACE, run.spec.execution.data_dir]
    return shlex.join(map(str, [*words, "--out", run.command_folder]))


def _at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values
