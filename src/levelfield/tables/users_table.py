"""A study's table as users have it: it shows itself in notebooks, and becomes a DataFrame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from levelfield.tables.data_frame import data_frame
from levelfield.tables.table import StudyTable
from levelfield.tables.text.notebook import to_notebook
from levelfield.tables.text.records import records

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class UsersTable(StudyTable):
    """All rows of a study, compared and audited: what `Study.run` and `read_table` return.

    `rows`: one `TableRow` a line, in the study's order; `ranked`: best first. `panels`: the comparison of the rows of
    each test set. `audit`: the fairness audit. The last value of a notebook's cell, it shows itself.
    """

    def to_pandas(self) -> pd.DataFrame:
        """One line a row of the study, with the columns of `levelfield report --format csv`: scores, intervals and
        differences in points of top-1, costs as counted or profiled; None or NaN where there is no number.

        Raises UserError where pandas is not installed.
        """
        return data_frame(records(self))

    def _repr_html_(self) -> str:
        return to_notebook(self)
