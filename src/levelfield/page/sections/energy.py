"""What accuracy took in energy: what `levelfield analyze energy` found, as a section of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from levelfield.page import markup
from levelfield.page.figure import save
from levelfield.page.markup import line, paragraph, tag
from levelfield.page.section import Section
from levelfield.page.sections.measured_differences import left_out, measured_differences, of_other_runs
from levelfield.tables.table import StudyTable
from levelfield.tables.text.energy import COLUMNS, cells

NOTE = (
    "Of the training steps with their input, tests left out; of the weights that a row starts from, nothing. A meter "
    "counts whatever ran on its device. An estimate is a stated power times the seconds of training. Neither an "
    "estimate nor a processor's meter decides anything."
)


def energy(table: StudyTable, answer: Mapping[str, Any]) -> Section:
    """The energy of every row, how it is known, and what was decided of what was measured."""
    lines = [line(*cells(row), data_of=row["row"]) for row in answer["rows"]]
    parts = [
        of_other_runs(table, answer, "energy"),
        paragraph(NOTE, class_="note"),
        tag("div", save("table", "analysis-energy-table", "CSV", "Save the table of energy"), class_="save"),
        markup.table(COLUMNS, lines, "Energy by row", "analysis-energy-table"),
        left_out(answer),
        measured_differences(table, answer, "analysis-energy-differences"),
    ]
    return Section("analysis-energy", "What did it take in energy?", "".join(parts))
