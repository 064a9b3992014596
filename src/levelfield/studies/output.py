"""What a study's folder holds beside its runs: study.json (who the rows are), results.json and .csv, table and page.

study.json is what `levelfield report FOLDER` reads, without the study file; its format is that of `report.folder`. It
is written when a study begins and after every run, so that a table can be asked for at any time.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levelfield.errors import UserError
from levelfield.report.rows import Row, StudyRows
from levelfield.runs import RunFolder, write_json, write_text
from levelfield.studies.answer import with_answer
from levelfield.studies.found import find, read_tuned
from levelfield.studies.plan import PlannedRow, PlannedRun
from levelfield.studies.published import published_row

if TYPE_CHECKING:
    from levelfield.report.table import StudyTable
    from levelfield.studies.study import Study

FOREIGN = "foreign"
"""The folder that holds other people's predictions, a folder per row."""
SEED_FOLDER = re.compile(r"seed(\d+)-")
NESTED = ("per_class", "confusion", "classes")
"""What results.csv leaves out: it holds one number or word a cell."""


def study_rows(
    study: Study,
    scale: str,
    rows: Sequence[PlannedRow],
    out: Path,
    failures: Mapping[str, str],
    notes: Iterable[str] = (),
) -> StudyRows:
    """All rows of a study with the runs that `out` holds of them: of every seed there, not only those planned now."""
    return StudyRows(
        name=study.name,
        rows=tuple(
            Row(
                name=row.name,
                group=row.group,
                runs=tuple(_runs(row, out)),
                declared=(row.spec,),
                published=published_row(study.name, row.published),
                facts={"setting_unknown": True} if row.setting_unknown else {},
                failures=_failures(row, failures),
                notes=tuple(_notes(row)),
            )
            for row in rows
        )
        + tuple(foreign_rows(out)),
        question=study.question.strip(),
        description=" ".join(part.strip() for part in (study.description, study.scale(scale).description) if part),
        scale="" if scale == "full" and not study.scales else scale,
        baseline=study.baseline,
        varies=study.varies,
        notes=tuple(notes),
        command=f"levelfield study run {study.name}" + ("" if scale == "full" else f" --scale {scale}"),
        path=out,
    )


def foreign_rows(out: Path) -> list[Row]:
    """Rows that are somebody else's predictions: a folder of Parquet files each, below `foreign`."""
    folders = sorted(path for path in (out / FOREIGN).glob("*") if path.is_dir())
    note = "somebody else's predictions: how it was trained is not known here"
    return [Row(name=path.name, predictions=tuple(sorted(path.glob("*.parquet"))), notes=(note,)) for path in folders]


def changes(overrides: Sequence[str]) -> list[str]:
    """The note on a table whose rows were changed on the command line (how they are carried out is no change)."""
    science = [change for change in overrides if not change.strip().startswith("execution.")]
    return [f"changed on the command line: {', '.join(science)}"] if science else []


def _runs(row: PlannedRow, out: Path) -> list[RunFolder]:
    folders = (out / row.home).glob("seed*-*")
    seeds = sorted({int(match[1]) for path in folders if (match := SEED_FOLDER.match(path.name))})
    found = (find(out, PlannedRun(row, seed)).folder for seed in seeds)
    return [folder for folder in found if folder is not None]


def _failures(row: PlannedRow, failures: Mapping[str, str]) -> dict[int, str]:
    """Of `failures` (run name -> reason) those of a row's runs, by seed."""
    named = ((run.rpartition(" seed "), why) for run, why in failures.items())
    return {int(seed): why for (home, _, seed), why in named if home == row.home}


def _notes(row: PlannedRow) -> list[str]:
    notes = [f"published as {row.alias}"] if row.alias else []
    notes += [row.note] if row.note else []
    if row.home != row.name:
        notes.append(f"the same training as {row.home}: its runs are shown")
    if row.setting_unknown:
        notes.append(
            "setting unknown" + (f"; {row.tuned}" if row.tuned else ", and not swept: the recipe's own is used")
        )
    return notes


def as_json(rows: StudyRows, failures: Mapping[str, str], out: Path) -> dict[str, Any]:
    """The content of study.json. Run folders are relative to `out`; execution is left out, as it is not science."""
    return {
        "name": rows.name,
        "question": rows.question,
        "answer": rows.answer,
        "description": rows.description,
        "scale": rows.scale,
        "baseline": rows.baseline,
        "varies": list(rows.varies),
        "command": rows.command,
        "notes": list(rows.notes),
        "failures": dict(failures),
        "rows": [
            {
                "name": row.name,
                "label": row.label,
                "group": row.group,
                "notes": list(row.notes),
                "runs": [run.path.relative_to(out).as_posix() for run in row.runs],
                "predictions": [path.relative_to(out).as_posix() for path in row.predictions],
                "facts": dict(row.facts),
                "failures": {str(seed): why for seed, why in row.failures.items()},
                "declared": [spec.model_dump(mode="json", exclude={"execution"}) for spec in row.declared],
                "published": None
                if row.published is None
                else {
                    "values": dict(row.published.values),
                    "data": row.published.data,
                    "num_classes": row.published.num_classes,
                    "notes": list(row.published.notes),
                },
            }
            for row in rows.rows
        ],
    }


def write_study(rows: StudyRows, failures: Mapping[str, str], out: Path) -> None:
    """Write study.json into `out`."""
    write_json(out / "study.json", as_json(rows, failures, out))


def read_failures(out: Path) -> dict[str, str]:
    """Run name -> why it has no result, as the study's last run left it."""
    try:
        failures = json.loads((out / "study.json").read_text(encoding="utf-8"))["failures"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return {}
    return {str(name): str(why) for name, why in failures.items()}


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


def table_of(study: Study, rows: StudyRows, data_dir: str | None = None) -> StudyTable:
    """The table of `rows`, with the answer to the study's question. `data_dir`: where the audit may find their data."""
    from levelfield.report.table import build_table

    return with_answer(build_table(rows, data_dir=data_dir), study.steps)


def write_outputs(
    study: Study, rows: StudyRows, out: Path, data_dir: str | None = None, *, page: bool = True
) -> StudyTable:
    """Build the table of `rows` and write results.json, results.csv and (unless told not to) report.html in `out`.

    The page shows example images where the data is at hand (`data_dir`, else where the environment says).
    """
    from levelfield.report.audit.leaks import keep_record

    keep_record(out, (run.spec() for row in rows.rows for run in row.runs if run.finished), data_dir)
    table = table_of(study, rows, data_dir)
    write_results(results(rows), out)
    if table.study.answer:
        write_study(table.study, read_failures(out), out)
    if not page:
        return table
    from levelfield.report.page import write_page
    from levelfield.report.thumbnails import images_of

    try:
        pictures = images_of(table, data_dir)
    except UserError:
        pictures = None
    write_page(table, out / "report.html", pictures)
    return table


def table_for(study: Study, scale: str, out: Path) -> StudyTable:
    """The table of a study as it stands in `out`, all its rows in it; nothing is written."""
    return table_of(study, _rows_now(study, scale, out))


def report_study(study: Study, scale: str, out: Path) -> StudyTable:
    """As `table_for`; its files are written where `out` exists."""
    rows = _rows_now(study, scale, out)
    if not out.is_dir():
        return table_of(study, rows)
    write_study(rows, read_failures(out), out)
    return write_outputs(study, rows, out)


def _rows_now(study: Study, scale: str, out: Path) -> StudyRows:
    return study_rows(study, scale, study.planned_rows(scale, tuned=read_tuned(out)), out, read_failures(out))
