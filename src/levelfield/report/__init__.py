"""Tables and pages of runs and studies."""

from levelfield.report.folder import read_study
from levelfield.report.rows import Published, Row, StudyRows
from levelfield.report.table import StudyTable, TableRow, build_table

__all__ = ["Published", "Row", "StudyRows", "StudyTable", "TableRow", "build_table", "read_study"]
