"""How accuracy grows with cost, and which network is better at equal cost."""

from __future__ import annotations

from levelfield.page import markup
from levelfield.page.charts.scaling import scaling_chart
from levelfield.page.figure import figures
from levelfield.page.markup import bullets, line, paragraph
from levelfield.page.section import Section
from levelfield.tables.scaling import scaling_of
from levelfield.tables.table import StudyTable
from levelfield.tables.text.scaling import (
    BASIS,
    FRONT_BASIS,
    LAWS,
    LAWS_BASIS,
    PAIRS,
    front_words,
    law_lines,
    left_out_words,
    pair_lines,
)


def scaling(table: StudyTable) -> Section | None:
    """None for a study that declares no curves, or of which nothing was measured."""
    content, charts = "", []
    found = scaling_of(table)
    for number, one in enumerate(found):
        of = f" on {one.panel}" if len(found) > 1 else ""
        content += paragraph(one.panel) if of else ""
        own = [scaling_chart(on, f"scaling{number}-{on.factor}-{on.cost}") for on in one.on]
        charts += own
        content += figures(own) if own else paragraph("No network has results at two costs yet.")
        if pairs := pair_lines(one):
            content += markup.table(
                PAIRS, [line(*cells, words=said) for *cells, said in pairs], f"Networks at equal cost{of}"
            )
            content += paragraph(BASIS, class_="note")
        if laws := law_lines(one):
            lines = [line(*cells, words=said) for *cells, said in laws]
            content += markup.table(LAWS, lines, f"Power laws{of}")
            content += paragraph(LAWS_BASIS, class_="note")
        if one.fronts:
            content += bullets(front_words(front) for front in one.fronts) + paragraph(FRONT_BASIS, class_="note")
        content += "".join(map(paragraph, left_out_words(one)))
    return Section("scaling", "Accuracy over cost", content, charts=tuple(charts)) if found else None
