"""The table as CSV."""

from __future__ import annotations

import csv
import io

from levelfield.tables.table import StudyTable
from levelfield.tables.text.records import records


def to_csv(table: StudyTable) -> str:
    rows = records(table)
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "also": "; ".join(row["also"]) or None} for row in rows)
    return out.getvalue()
