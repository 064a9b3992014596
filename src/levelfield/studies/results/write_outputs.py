"""What a study's folder holds beside its runs and study.json: results.json and results.csv, the table, the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.runs import write_json, write_text
from levelfield.studies.declared.study import StudySpec
from levelfield.studies.results.study_json import write_study
from levelfield.studies.results.study_request import StudyRequest, read_request, settle
from levelfield.studies.results.study_rows import study_rows
from levelfield.tables.audit.checks.leaked_test_images import keep_record
from levelfield.tables.make_table import build_table
from levelfield.tables.rows import StudyRows
from levelfield.tables.users_table import UsersTable

NESTED: Final = ("per_class", "confusion", "classes")
"""What results.csv leaves out: it holds one number or word a cell."""


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


def write_outputs(rows: StudyRows, out: Path, data_dir: str | None = None, *, page: bool = True) -> UsersTable:
    """Build the table of `rows` and write results.json, results.csv and (unless told not to) report.html in `out`.

    The page shows example images where the data is at hand (`data_dir`, else where the environment says).
    """
    keep_record(out, (run.spec() for row in rows.rows for run in row.runs if run.finished), data_dir)
    table = build_table(rows, data_dir=data_dir)
    write_results(results(table.study), out)
    if not page:
        return table
    from levelfield.page.page import write_page
    from levelfield.page.thumbnails import images_of

    try:
        pictures = images_of(table, data_dir, out / "report.html")
    except UserError:
        pictures = None
    write_page(table, out / "report.html", pictures)
    return table


def table_for(study: StudySpec, out: Path, asked: StudyRequest) -> UsersTable:
    """As `report_study`; nothing is written."""
    return build_table(study_rows(study, asked, out), data_dir=asked.data_dir)


def is_of(out: Path, asked: StudyRequest) -> bool:
    """Whether what `out` holds is the study so asked for: only then is its table written there."""
    before = read_request(out)
    return before is not None and (before.changes, before.plugins) == (asked.changes, asked.plugins)


def report_study(study: StudySpec, out: Path, asked: StudyRequest | None = None) -> UsersTable:
    """The table of `study` in `out`, as asked for (None: as the folder says).

    Its files are written where `out` holds the study so asked for; a table of other settings is only returned.
    """
    asked = asked or settle(study, out)
    if not is_of(out, asked):
        return table_for(study, out, asked)
    rows = study_rows(study, asked, out)
    write_study(rows, asked, out)
    return write_outputs(rows, out, asked.data_dir)
