"""What a study's folder holds beside its runs: study.json (who the rows are), results.json and .csv, table and page.

study.json is what `levelfield report FOLDER` reads, without the study file; `tables.read_folder` has its format. It is
written when a study begins and after every run, so that a table can be asked for at any time.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levelfield.errors import UserError
from levelfield.runs import write_json, write_text
from levelfield.spec import RunSpec
from levelfield.studies.declared.plan import PlannedRow
from levelfield.studies.declared.study import Changes
from levelfield.studies.results.input_digests import Contents
from levelfield.studies.results.published import published_row
from levelfield.studies.results.request import Asked, commands, read_asked, settle
from levelfield.studies.results.run_folders import holding, stale_in_words
from levelfield.tables.read_folder import read_sweeps
from levelfield.tables.rows import Row, StudyRows

if TYPE_CHECKING:
    from levelfield.studies.declared.study import Study
    from levelfield.tables.table import StudyTable

FOREIGN = "foreign"
"""The folder that holds other people's predictions, a folder per row."""
NESTED = ("per_class", "confusion", "classes")
"""What results.csv leaves out: it holds one number or word a cell."""


def study_rows(
    study: Study, asked: Asked, out: Path, failures: Mapping[str, str], tuned: Mapping[str, Changes] | None = None
) -> StudyRows:
    """All rows of a study as asked for, with the runs that `out` holds of them: of every seed there, not only those
    planned now. What of a row is stale is said and not counted.

    `failures`: by `PlannedRun.key`, why there is none. `tuned`: instead of what a sweep in `out` found.
    """
    rows, contents = asked.rows(study, out, tuned=tuned), Contents()
    held = {row.home: holding(out, row, contents) for row in rows}
    scale = study.scale(asked.scale)
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
                facts={"setting_unknown": True} if row.setting_unknown else {},
                failures=_failures(row, failures),
                notes=(*_notes(row), *stale_in_words(held[row.home].stale)),
            )
            for row in rows
        )
        + tuple(foreign_rows(out)),
        question=study.question.strip(),
        steps=tuple((step.name, step.before, step.after) for step in study.steps),
        description=" ".join(part.strip() for part in (study.description, scale.description) if part),
        scale="" if asked.scale == "full" and not study.scales else asked.scale,
        baseline=study.baseline,
        varies=study.varies if "varies" in study.model_fields_set else None,
        changes=asked.changes,
        notes=(*changes(asked), *seeds_added(asked, {row.name: held[row.home].runs for row in rows})),
        command=commands(asked, planned),
        sweeps=read_sweeps(out),
        path=out,
    )


def foreign_rows(out: Path) -> list[Row]:
    """Rows that are somebody else's predictions: a folder of Parquet files each, below `foreign`."""
    folders = sorted(path for path in (out / FOREIGN).glob("*") if path.is_dir())
    note = "somebody else's predictions: how it was trained is not known here, nor with which seeds (paired in order)"
    return [Row(name=path.name, predictions=tuple(sorted(path.glob("*.parquet"))), notes=(note,)) for path in folders]


def changes(asked: Asked) -> list[str]:
    """The note on a table whose rows were changed on the command line (how they are carried out is no change)."""
    return [f"changed on the command line: {', '.join(asked.changes)}"] if asked.changes else []


def seeds_added(asked: Asked, held: Mapping[str, Iterable[int]]) -> list[str]:
    """The note on a table with more seeds than its study declares: its error rate holds for one look at those.

    `held`: the seeds of which there are runs, by row.
    """
    more = {row: count for row, seeds in held.items() if (count := len(set(seeds))) > len(asked.usual)}
    if not more:
        return []
    most = max(more.values())
    return [
        f"{len(more)} of {len(held)} rows have more seeds than the {len(asked.usual)} that the study declares (up to "
        f"{most}). Where they were added because the table did not decide before, its 5 % no longer hold: a seed at a "
        "time until something shows makes 16 % false tables (docs/statistics.md)."
    ]


def _failures(row: PlannedRow, failures: Mapping[str, str]) -> dict[int, str]:
    """Of `failures` (run key -> reason) those of a row's runs, by seed."""
    named = ((run.rpartition(" seed "), why) for run, why in failures.items())
    return {int(seed): why for (home, _, seed), why in named if home == row.home}


def _notes(row: PlannedRow) -> list[str]:
    notes = [f"published as {row.alias}"] if row.alias else []
    notes += [row.note] if row.note else []
    if row.setting_unknown:
        notes.append(
            "setting unknown" + (f"; {row.tuned}" if row.tuned else ", and not swept: the recipe's own is used")
        )
    return notes


def as_json(rows: StudyRows, asked: Asked, out: Path) -> dict[str, Any]:
    """The content of study.json. Run folders are relative to `out`; of the execution only what is science is kept."""
    return {
        "name": rows.name,
        "asked": asked.as_json(),
        "question": rows.question,
        "steps": [list(step) for step in rows.steps],
        "description": rows.description,
        "scale": rows.scale,
        "baseline": rows.baseline,
        "varies": None if rows.varies is None else list(rows.varies),
        "command": rows.command,
        "notes": list(rows.notes),
        "rows": rows_as_json(rows.rows, out),
    }


def rows_as_json(rows: Iterable[Row], out: Path) -> list[dict[str, Any]]:
    """Rows as study.json holds them."""
    return [
        {
            "name": row.name,
            "label": row.label,
            "group": row.group,
            "notes": list(row.notes),
            "runs": [run.path.relative_to(out).as_posix() for run in row.runs],
            "predictions": [path.relative_to(out).as_posix() for path in row.predictions],
            "facts": dict(row.facts),
            "failures": {str(seed): why for seed, why in row.failures.items()},
            "declared": [_declared(spec) for spec in row.declared],
            "published": None
            if row.published is None
            else {
                "values": dict(row.published.values),
                "data": row.published.data,
                "num_classes": row.published.num_classes,
                "notes": list(row.published.notes),
            },
        }
        for row in rows
    ]


def _declared(spec: RunSpec) -> dict[str, Any]:
    micro = spec.execution.micro_batch
    kept = {} if micro is None else {"execution": {"micro_batch": micro}}
    return spec.model_dump(mode="json", exclude={"execution"}) | kept


def write_study(rows: StudyRows, asked: Asked, out: Path) -> None:
    """Write study.json into `out`."""
    write_json(out / "study.json", as_json(rows, asked, out))


def read_failures(out: Path, rows: Iterable[PlannedRow] | None = None) -> dict[str, str]:
    """`PlannedRun.key` -> why it has no result, as the study's last run left it.

    Left out is what failed with a setting that its row no longer has among `rows`: study.json keeps that of the
    failure. None: nothing is left out.
    """
    try:
        kept = json.loads((out / "study.json").read_text(encoding="utf-8"))["rows"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return {}
    asked = {row.name: row.spec.science() for row in rows or ()}
    return {
        f"{row['name']} seed {seed}": str(why)
        for row in kept
        if rows is None or (row["name"] in asked and _science(row.get("declared")) == asked[row["name"]])
        for seed, why in (row.get("failures") or {}).items()
    }


def _science(declared: Any) -> dict[str, Any] | None:
    """That of the one setting that study.json declares for a row; None where it holds none that can be read."""
    if not isinstance(declared, list) or len(declared) != 1:
        return None
    try:
        return RunSpec.parse(declared[0], "study.json").science()
    except UserError:
        return None


def results(rows: StudyRows) -> list[dict[str, Any]]:
    """The result objects of all runs that have one, each with the row and group it belongs to, in the rows' order."""
    return [
        {"row": row.name, "group": row.group, **result}
        for row in rows.rows
        for run in row.runs
        if (result := run.result()) is not None
    ]


def write_results(found: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write results.json (a list of result objects) and results.csv (their flat keys)."""
    write_json(out / "results.json", list(found))
    keys = list(dict.fromkeys(key for result in found for key in result if key not in NESTED))
    text = io.StringIO()
    writer = csv.DictWriter(text, keys, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for result in found:
        cells = {k: " ".join(map(str, v)) if isinstance(v, list) else v for k, v in result.items()}
        writer.writerow(cells)
    write_text(out / "results.csv", text.getvalue())


def write_outputs(rows: StudyRows, out: Path, data_dir: str | None = None, *, page: bool = True) -> StudyTable:
    """Build the table of `rows` and write results.json, results.csv and (unless told not to) report.html in `out`.

    The page shows example images where the data is at hand (`data_dir`, else where the environment says).
    """
    from levelfield.tables.audit.checks.leaked_test_images import keep_record
    from levelfield.tables.build import build_table

    keep_record(out, (run.spec() for row in rows.rows for run in row.runs if run.finished), data_dir)
    table = build_table(rows, data_dir=data_dir)
    write_results(results(table.study), out)
    if not page:
        return table
    from levelfield.page.page import write_page
    from levelfield.page.thumbnails import images_of

    try:
        pictures = images_of(table, data_dir)
    except UserError:
        pictures = None
    write_page(table, out / "report.html", pictures)
    return table


def table_for(study: Study, out: Path, asked: Asked | None = None) -> StudyTable:
    """As `report_study`; nothing is written."""
    from levelfield.tables.build import build_table

    asked = asked or settle(study, out)
    failures = read_failures(out, asked.rows(study, out))
    return build_table(study_rows(study, asked, out, failures), data_dir=asked.data_dir)


def is_of(out: Path, asked: Asked) -> bool:
    """Whether what `out` holds is the study so asked for: only then is its table written there."""
    before = read_asked(out)
    return before is not None and (before.changes, before.plugins) == (asked.changes, asked.plugins)


def report_study(study: Study, out: Path, asked: Asked | None = None) -> StudyTable:
    """The table of `study` in `out`, as asked for (None: as the folder says).

    Its files are written where `out` holds the study so asked for; a table of other settings is only returned.
    """
    asked = asked or settle(study, out)
    if not is_of(out, asked):
        return table_for(study, out, asked)
    rows = study_rows(study, asked, out, read_failures(out, asked.rows(study, out)))
    write_study(rows, asked, out)
    return write_outputs(rows, out, asked.data_dir)
