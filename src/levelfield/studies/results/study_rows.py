"""The rows of a study's table: what was declared, with the runs that its folder holds of it, and what is to be said."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from levelfield.studies.declared.planned_runs import PlannedRow
from levelfield.studies.declared.published_figures import published_row
from levelfield.studies.declared.study import Changes, StudySpec
from levelfield.studies.results.other_search import tuned_by_another
from levelfield.studies.results.run_folders import hold_all, stale_in_words
from levelfield.studies.results.study_json import read_failures
from levelfield.studies.results.study_request import StudyRequest, commands
from levelfield.tables.foreign_scores import SCORES, read_stated
from levelfield.tables.looks import Looks, read_looks, setting_digest
from levelfield.tables.rows import Row, StudyRows
from levelfield.tables.sweep import Sweep
from levelfield.tables.sweeps import SWEEP, read_sweeps

NOT_HERE: Final = "not trained here"
"""Stands behind the name of every row that is somebody else's."""
FOREIGN: Final = "foreign"
"""The folder that holds other people's predictions, a folder per row."""


def study_rows(
    study: StudySpec,
    asked: StudyRequest,
    out: Path,
    failures: Mapping[str, str] | None = None,
    tuned: Mapping[str, Changes] | None = None,
) -> StudyRows:
    """All rows of a study as asked for, with the runs that `out` holds of them: of every seed there, not only those
    planned now. What of a row is stale is said and not counted.

    `failures`: by `PlannedRun.key`, why there is none (None: as study.json says). `tuned`: instead of what a sweep in
    `out` found.
    """
    rows = asked.rows(study, out, tuned=tuned)
    held = hold_all(out, rows)
    failures = read_failures(out, rows) if failures is None else failures
    scale = study.scale(asked.scale)
    looks = read_looks(out)
    looks = looks and looks.of({row.name: setting_digest((row.spec,)) for row in rows})
    sweeps = read_sweeps(out)
    otherwise = tuned_by_another(rows, study.tuning, sweeps)
    planned = {row.name: (*asked.seeds_of(row.name), *held[row.home].runs) for row in rows}
    return StudyRows(
        name=study.name,
        rows=tuple(
            Row(
                name=row.name,
                group=row.group,
                runs=tuple(found[0].folder for found in held[row.home].runs.values() if found[0].folder is not None),
                declared=(row.spec,),
                planned=asked.seeds_of(row.name),
                published=published_row(study.name, row.published),
                facts=_facts(study, row),
                failures=_failures(row, failures),
                notes=(*_notes(study, row, out, sweeps, otherwise), *stale_in_words(held[row.home].stale)),
            )
            for row in rows
        )
        + tuple(foreign_rows(out)),
        question=study.question.strip(),
        steps=tuple((step.name, step.before, step.after) for step in study.steps),
        factors=study.factors,
        curves=study.curves,
        extrapolate=None if study.scaling is None else study.scaling.extrapolate,
        description=" ".join(part.strip() for part in (study.description, scale.description) if part),
        scale="" if asked.scale == "full" and not study.scales else asked.scale,
        baseline=study.baseline,
        varies=_varies(study),
        changes=asked.changes,
        margin=asked.margin,
        verdict=asked.verdict,
        notes=(*_changed(asked), *_other_number(asked, looks, {row.name: held[row.home].runs for row in rows})),
        command=commands(asked, planned, until=None if looks is None else looks.most),
        source=asked.source,
        plugins=asked.plugins,
        sweeps=sweeps,
        looks=looks,
        path=out,
    )


def foreign_rows(out: Path) -> list[Row]:
    """Rows that are somebody else's: below `foreign` a folder each of predictions (Parquet), or of scores."""
    folders = sorted(path for path in (out / FOREIGN).glob("*") if path.is_dir())
    rows = []
    for path in folders:
        stated = (path / SCORES).is_file()
        files = (path / SCORES,) if stated else tuple(sorted(path.glob("*.parquet")))
        what = "scores as somebody else states them" if stated else "somebody else's predictions"
        notes = [f"{what}: how it was trained is not known here, nor with which seeds"]
        if stated and any(run.data is None and run.images is None for run in read_stated(path / SCORES)):
            notes.append("which test set its scores are of is not stated: taken for that of the rows here")
        rows.append(Row(name=path.name, label=f"{path.name} ({NOT_HERE})", predictions=files, notes=tuple(notes)))
    return rows


def _changed(asked: StudyRequest) -> list[str]:
    """The note on a table whose rows were changed on the command line (how they are carried out is no change)."""
    return [f"changed on the command line: {', '.join(asked.changes)}"] if asked.changes else []


def _other_number(asked: StudyRequest, looks: Looks | None, held: Mapping[str, Iterable[int]]) -> list[str]:
    """The note on a table with more or fewer seeds than its study declares, where no looks are on record.

    `held`: the seeds of which there are runs, by row.
    """
    counts, declared = [len(set(seeds)) for seeds in held.values()], len(asked.usual)
    most = max(counts, default=0)
    if looks is not None or most < 2 or most == declared:
        return []
    if most < declared:
        return [
            f"No row has all of the {declared} seeds that the study declares (at most {most}). Its 5 % hold for the "
            "table of all of them: whoever stops, or goes on, because of what this one shows is wrong more often: a "
            "seed at a time until something shows makes 16 % false tables (docs/explanation/statistics.md)."
        ]
    more = sum(count > declared for count in counts)
    return [
        f"{more} of {len(held)} rows have more seeds than the {declared} that the study declares (up to "
        f"{most}). Where they were added because the table did not decide before, its 5 % no longer hold: a seed at a "
        "time until something shows makes 16 % false tables (docs/explanation/statistics.md)."
    ]


def _failures(row: PlannedRow, failures: Mapping[str, str]) -> dict[int, str]:
    """Of `failures` (run key -> reason) those of a row's runs, by seed."""
    named = ((run.rpartition(" seed "), why) for run, why in failures.items())
    return {int(seed): why for (home, _, seed), why in named if home == row.home}


def _facts(study: StudySpec, row: PlannedRow) -> dict[str, Any]:
    """What the audit is to know of how a row's setting came about."""
    facts: dict[str, Any] = {"setting_unknown": True} if row.setting_unknown else {}
    if study.tuning is not None and not row.before:
        facts["tuning"] = study.tuning.model_dump(mode="json", exclude_none=True)
    return facts


def _varies(study: StudySpec) -> tuple[str, ...] | None:
    """The keys that rows differ in on purpose: those that the study tunes among them."""
    if study.tuning is None:
        return study.varies if "varies" in study.model_fields_set else None
    return (*study.varies, *(key for key in study.tuning.space if key not in study.varies))


def _notes(
    study: StudySpec, row: PlannedRow, out: Path, sweeps: Iterable[Sweep], otherwise: Sequence[str]
) -> list[str]:
    """What is to be known of a row; `sweeps`: those made in `out`; `otherwise`: rows that were tuned by another search
    than is declared."""
    notes = [f"published as {row.alias}"] if row.alias else []
    notes += [row.note] if row.note else []
    if row.setting_unknown:
        unknown = f"; {row.tuned}" if row.tuned else ", and not swept: the recipe's own is used"
        return [*notes, "setting unknown" + unknown]
    if study.tuning is not None and not row.before:
        begun = any((out / SWEEP).glob(f"{glob.escape(row.home)}-trial*"))
        why = (
            "the search has not ended (`levelfield study sweep` goes on)"
            if begun
            else "`levelfield study sweep` has not been run"
        )
        notes.append(row.tuned or f"not tuned, as {why}: the recipe's own is used")
        other = "tuned by another search than the study declares now: `levelfield study sweep` makes that one"
        return [*notes, other] if row.name in otherwise else notes
    if any(row.name in sweep.rows for sweep in sweeps):
        return [*notes, "the recipe's own setting is used, not what the sweep found: the study declares no `tuning`"]
    return notes
