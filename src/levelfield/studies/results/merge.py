"""Put the results of several people or machines into one folder, and other people's predictions beside them."""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.runs import FolderLock, RunFolder, find_runs, read_predictions, write_json
from levelfield.runs.compact import without_places, without_study_places, write_compact
from levelfield.spec import RunSpec
from levelfield.spec.weights_taken import with_rows_named
from levelfield.studies.declared.study import NAME
from levelfield.studies.results.run_folders import differences, state_of
from levelfield.studies.results.study_json import read_study_json, rows_as_json
from levelfield.studies.results.study_request import commands, from_json
from levelfield.studies.results.study_rows import FOREIGN, foreign_rows
from levelfield.system.files import rename
from levelfield.tables.audit.checks.leaked_test_images import RECORD
from levelfield.tables.comparable_rows import check_together
from levelfield.tables.cost_columns import COSTS
from levelfield.tables.foreign_scores import SCORES
from levelfield.tables.looks import LOOKS
from levelfield.tables.read_folder import read_study
from levelfield.tables.runs_of_row import contradiction, read_row
from levelfield.tables.sweeps import SWEEP, SWEEPS, TUNED, join_sweeps, read_tuned

SAID: Final = ("question", "description", "steps", "factors", "curves", "baseline", "varies")
"""Of study.json, what a study file says beside its rows."""


@dataclass(frozen=True)
class Merged:
    """What merging did, in run folders: copied, there already, and brought further by the other side's copy; and the
    keys of what a study says, its question and steps, that are not the same in all folders: those of the first stay."""

    copied: int = 0
    kept: int = 0
    replaced: int = 0
    unlike: tuple[str, ...] = ()


def merge_folders(sources: Sequence[Path], into: Path, *, compact: bool = False) -> Merged:
    """Copy the runs of study folders into the study folder `into`, and join their study.json.

    A run is told by its identity: what is there already is kept, unless only the other copy is finished. What a sweep
    found comes along, and what the networks cost, unless `into` says that already. `compact` copies the finished runs
    of rows only, each in the form that a repository keeps (`runs.compact`). Raises UserError where a source holds no
    study, where two studies differ in name or scale, or a row differs in its setting or in the data, weights or
    precision that its runs had.
    """
    studies = [(folder, read_study_json(folder)) for folder in sources]
    with FolderLock(into):
        joined = read_study_json(into) if (into / "study.json").is_file() else None
        together = [*([(into, joined)] if joined else []), *studies]
        for folder, study in studies:
            joined = study if joined is None else _joined(joined, study, folder)
        _check_one_content(together)
        _check_one_result([folder for folder, _ in together])
        _check_one_file([folder for folder, _ in together])
        _check_one_history([folder for folder, _ in together])
        assert joined is not None
        unlike = tuple(key for key in SAID if any(study.get(key) != joined.get(key) for _, study in studies))
        counts = {"copied": 0, "kept": 0, "replaced": 0}
        for folder, _ in studies:
            for run in find_runs(folder):
                place = run.path.relative_to(folder)
                if not compact or (run.finished and place.parts[0] != SWEEP):
                    counts[_take(run, into / place, compact)] += 1
            if tuned := {**read_tuned(folder), **read_tuned(into)}:
                write_json(into / TUNED, tuned)
            if known := {**read_plain(folder / RECORD), **read_plain(into / RECORD)}:
                write_json(into / RECORD, known)
            if (folder / LOOKS).is_file() and not (into / LOOKS).exists():  # what was decided stays so
                _copy(folder / LOOKS, into / LOOKS)
            if (folder / COSTS).is_file() and not (into / COSTS).exists():  # of one machine: two are not joined
                _copy(folder / COSTS, into / COSTS)
            if sweeps := join_sweeps(into, folder):
                write_json(into / SWEEPS, sweeps)
            for file in foreign_files(folder):
                _copy(file, into / file.relative_to(folder))
        for row in joined["rows"]:
            row["runs"] = [path for path in row["runs"] if RunFolder(into / path).exists()]
            trained = {_seed(path) for path in row["runs"] if RunFolder(into / path).finished}
            failures = {seed: why for seed, why in row.get("failures", {}).items() if seed not in trained}
            row["failures"] = {seed: without_places(why) if compact else why for seed, why in failures.items()}
        joined.pop("failures", None)
        write_json(into / "study.json", _with_command(without_study_places(joined) if compact else joined))
    return Merged(**counts, unlike=unlike)


def add_predictions(out: Path, name: str, file: Path) -> Path:
    """Let `file` (index, label, probabilities) stand in the study of `out` as a run of the row `name`; its new place.

    Raises UserError for a file that holds no predictions, for predictions of other images or labels than those that the
    study's own runs were tested on, and for the name of a row that the study trains itself. A file of the name of
    another one that stands there gets a number behind its own.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"row name {name!r} cannot be a folder's name; use letters, digits, '-', '_', '.' and '+'")
    study = read_study_json(out)
    if name in {row["name"] for row in study["rows"] if row["declared"]}:
        raise UserError(f"{name!r} is a row of {study['name']} itself; choose another name for the predictions")
    if (out / FOREIGN / name / SCORES).is_file():
        raise UserError(f"{name!r} has scores in {out}, beside which predictions would not count\nname them otherwise")
    there = [each for each in foreign_files(out) if each.parent.name == name]
    same = next((each for each in there if filecmp.cmp(each, file, shallow=False)), None)
    files = [file] if same else [*there, file]
    own = [read_row(row) for row in read_study(out).rows]
    check_together({str(each): read_predictions(each) for each in files}, own, name)
    target = same or _free(out / FOREIGN / name / file.name, file)
    _copy(file, target)
    kept = [row for row in study["rows"] if row["declared"] or not row.get("predictions")]
    write_json(out / "study.json", {**study, "rows": kept + rows_as_json(foreign_rows(out), out)})
    return target


def foreign_files(folder: Path) -> list[Path]:
    """The files of somebody else's rows in a study's folder."""
    return sorted(path for path in (folder / FOREIGN).glob("*/*") if path.suffix in (".parquet", ".csv"))


def _free(target: Path, file: Path) -> Path:
    """`target`, or with a number where that is another file than `file`; in the order of the seeds that they are."""
    number, place = 1, target
    while place.exists() and not filecmp.cmp(place, file, shallow=False):
        place = target.with_name(f"{target.stem}_{number:03d}{target.suffix}")
        number += 1
    return place


def _check_one_history(folders: Sequence[Path]) -> None:
    """Raise UserError where two tables were looked at: what both looks together may decide is not known."""
    looked = [folder for folder in folders if (folder / LOOKS).is_file()]
    for other in looked[1:]:
        if not filecmp.cmp(looked[0] / LOOKS, other / LOOKS, shallow=False):
            raise UserError(
                f"the tables of {looked[0]} and {other} cannot be joined: both were looked at while they grew\n"
                f"merge one of them only, or move a {LOOKS} away: the joined table then knows nothing of these looks"
            )


def read_plain(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _joined(one: dict[str, Any], two: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Study `one` with the rows and runs of `two` added."""
    for key in ("name", "scale"):
        if one.get(key) != two.get(key):
            raise UserError(f"{folder} holds {key} {two.get(key)!r}, not {one.get(key)!r}: merge results of one study")
    rows = {row["name"]: {**row, "runs": list(row["runs"])} for row in one["rows"]}
    for row in two["rows"]:
        mine = rows.setdefault(row["name"], row)
        if mine is row:
            continue
        if not _same_setting(mine["declared"], row["declared"]):
            raise UserError(
                f"row {row['name']!r} has another setting in {folder}: its study file was edited; rename one"
            )
        seeds = {_seed(path) for path in mine["runs"]}
        mine["runs"] += [path for path in row["runs"] if path not in mine["runs"] and _seed(path) not in seeds]
        mine["notes"] = list(dict.fromkeys([*mine["notes"], *row["notes"]]))
        mine["predictions"] = list(dict.fromkeys([*mine.get("predictions", ()), *row.get("predictions", ())]))
        mine["failures"] = {**row.get("failures", {}), **mine.get("failures", {})}
    joined = {**one, "rows": list(rows.values())}
    if "asked" in one and "asked" in two:
        joined["asked"] = {**one["asked"], "seeds": _seeds(one["asked"], two["asked"])}
    return joined


def _seeds(one: dict[str, Any], two: dict[str, Any]) -> dict[str, list[int]]:
    """The seeds that were asked for on either side, by row; the study's own where one side never said."""
    rows = dict.fromkeys([*one["seeds"], *two["seeds"]])
    return {row: sorted({*one["seeds"].get(row, one["usual"]), *two["seeds"].get(row, two["usual"])}) for row in rows}


def _with_command(study: dict[str, Any]) -> dict[str, Any]:
    """`study` with the commands that make the table that it now holds."""
    if "asked" not in study:
        return study
    asked = from_json(study["asked"])
    planned = {
        row["name"]: (*(asked.seeds.get(row["name"]) or asked.usual), *(int(_seed(path)) for path in row["runs"]))
        for row in study["rows"]
        if row["declared"]
    }
    return {**study, "command": commands(asked, planned)}


def _check_one_content(studies: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    """Raise UserError where finished runs of one row differ in more than the seed: they are not one row."""
    first: dict[str, tuple[Path, RunSpec]] = {}
    for folder, study in studies:
        for row in study["rows"]:
            for run in (run for path in row["runs"] if (run := RunFolder(folder / path)).finished):
                there, spec = first.setdefault(row["name"], (folder, run.spec()))
                differing = [] if there == folder else differences(_seedless(spec), _seedless(run.spec()))
                if differing:
                    what = ", ".join(differing[:3])
                    raise UserError(
                        f"row {row['name']!r} was trained with another {what} in {folder} than in {there}\n"
                        "such runs are not one row: give one of them another name in the study file"
                    )


def _check_one_result(folders: Sequence[Path]) -> None:
    """Raise UserError where finished copies of one run have other scores: only one of them can be right."""
    first: dict[tuple[Path, str], tuple[Path, RunFolder]] = {}
    finished = [(folder, run) for folder in folders for run in find_runs(folder) if run.finished]
    for folder, run in finished:
        there, one = first.setdefault((run.path.relative_to(folder).parent, run.identity), (folder, run))
        if there != folder and (said := contradiction(one.result() or {}, run.result() or {})):
            raise UserError(
                f"{one.path} and {run.path} are the same run with different results: {said}\n"
                "move the one away that is not to be trusted, or that was trained on another machine"
            )


def _check_one_file(folders: Sequence[Path]) -> None:
    """Raise UserError where other people's predictions of one row and file name differ: one would replace the other."""
    first: dict[Path, Path] = {}
    for folder in folders:
        for file in foreign_files(folder):
            one = first.setdefault(file.relative_to(folder), file)
            if not filecmp.cmp(one, file, shallow=False):
                raise UserError(f"{one} and {file} differ and have one name\nrename one of them in its study folder")


def _seedless(spec: RunSpec) -> RunSpec:
    """`spec` without its seed and what other rows' runs of that seed gave it."""
    return with_rows_named(spec).changed({"seed": 0})


def _same_setting(one: list[Any], two: list[Any]) -> bool:
    specs = [[RunSpec.parse(spec, "study.json") for spec in side] for side in (one, two)]
    return len(specs[0]) == len(specs[1]) and not any(differences(a, b) for a, b in zip(*specs, strict=True))


def _seed(path: str) -> str:
    return Path(path).name.partition("-")[0].removeprefix("seed")


def _take(run: RunFolder, target: Path, compact: bool) -> str:
    """Copy a run folder to `target` unless what is there is as good."""
    there = RunFolder(target)
    if replacing := there.exists():
        if there.identity != run.identity:
            raise UserError(f"{target} holds another run than {run.path}; move one of them away")
        if state_of(there)[0] == "finished" or state_of(run)[0] != "finished":
            return "kept"
        shutil.rmtree(target)
    _copy(run.path, target, compact)
    return "replaced" if replacing else "copied"


def _copy(source: Path, target: Path, compact: bool = False) -> None:
    """Copy a file or folder (a run's in its compact form, if asked) so that `target` is whole or not there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.tmp")
    try:
        if compact:
            write_compact(RunFolder(source), beside)
        elif source.is_dir():
            shutil.copytree(source, beside, ignore=shutil.ignore_patterns("lock"), dirs_exist_ok=True)
        else:
            shutil.copyfile(source, beside)
        rename(beside, target)
    except OSError as error:
        raise UserError(f"cannot copy {source} to {target}: {error.strerror}") from error
