"""The answer to the study's question, in sentences."""

from __future__ import annotations

from itertools import groupby

from levelfield.page.markup import paragraph, tag, text
from levelfield.page.section import Section
from levelfield.page.verdict_marks import chip
from levelfield.tables.answer_to_question import Statement, statements
from levelfield.tables.number_format import percent
from levelfield.tables.table import StudyTable


def answer(table: StudyTable) -> Section:
    """The sentences with their verdicts, and what was run."""
    said = statements(table)
    if said:
        *decisions, scope = said
        shown = "".join(
            (tag("h3", text(f"On {panel}")) if panel else "") + tag("ul", map(_marked, of_panel), class_="answer")
            for panel, of_panel in groupby(decisions, key=lambda statement: statement.panel)
        )
        shown += paragraph(scope.text, class_="scope")
    elif table.measured:
        scores = (f"{row.title} has {percent(row.top1.value if row.top1 else None)} %" for row in table.measured)
        shown = paragraph(f"There is nothing to compare yet: {'; '.join(scores)}.")
    else:
        shown = paragraph("Nothing was measured yet.")
    if table.study.description:
        shown += paragraph(table.study.description, class_="note")
    return Section("answer", "The answer", shown)


def _marked(statement: Statement) -> str:
    """A sentence after the sign of its verdict."""
    mark = "" if statement.verdict is None else chip(statement.verdict) + " "
    return tag("li", mark + text(statement.text))
