"""The table of a folder, for whoever reads results and trains nothing."""

from __future__ import annotations

from pathlib import Path

from levelfield.tables.make_table import build_table
from levelfield.tables.read_folder import read_study
from levelfield.tables.users_table import UsersTable


def read_table(
    folder: str | Path,
    *,
    baseline: str | None = None,
    margin: float | None = None,
    verdict: str | None = None,
    data_dir: str | None = None,
) -> UsersTable:
    """The table of a study's folder, or of any folder that holds runs, as it stands; nothing is trained or written.

    `baseline`: the row that others are compared with; None: the study's, else the first with a result. `margin`: points
    of top-1 within which rows are called equivalent. `verdict`: "usual" or "strict". None: as last said of the folder.
    `data_dir`: where the audit may find the data. Raises UserError for a folder without runs, and for a baseline,
    margin or rule that cannot be.
    """
    return build_table(read_study(Path(folder)), baseline, data_dir, margin=margin, verdict=verdict)
