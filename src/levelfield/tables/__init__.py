"""Tables and pages of runs and studies."""

from levelfield.tables.read_folder import read_study
from levelfield.tables.rows import Published, Row, StudyRows
from levelfield.tables.table import StudyTable, TableRow, build_table

__all__ = ["Published", "Row", "StudyRows", "StudyTable", "TableRow", "build_table", "read_study"]
