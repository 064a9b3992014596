"""Tables of runs and studies: rows and their results, compared, audited, and written as text."""

from levelfield.studies.declared.published_figures import Published
from levelfield.tables.make_table import build_table
from levelfield.tables.read_folder import read_study
from levelfield.tables.rows import Row, StudyRows
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.table_of_folder import read_table
from levelfield.tables.users_table import UsersTable

__all__ = [
    "Published",
    "Row",
    "StudyRows",
    "StudyTable",
    "TableRow",
    "UsersTable",
    "build_table",
    "read_study",
    "read_table",
]
