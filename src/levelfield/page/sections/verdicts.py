"""How the answer was decided, in plain words."""

from __future__ import annotations

from collections.abc import Mapping

from levelfield.page.markup import folded, paragraph, scrolled, tag, text
from levelfield.page.section import Section
from levelfield.tables.prediction_analysis import Predicted, mcnemar_of
from levelfield.tables.table import StudyTable
from levelfield.tables.verdicts_in_words import in_words, pair_in_words


def verdicts(table: StudyTable, predicted: Mapping[str, Predicted]) -> Section | None:
    """How the answer was decided, and every comparison with the baseline; None where nothing was compared."""
    parts = [paragraph(said) for said in in_words(table)]
    lines = []
    for row in table.measured:
        baseline = table.panels[row.panel].baseline
        if row.to_baseline is None or baseline is None:
            continue
        both = row.name in predicted and baseline in predicted
        mcnemar = mcnemar_of(predicted[row.name], predicted[baseline]) if both else None
        said = tag("td", text(pair_in_words(row.to_baseline, mcnemar)), class_="words")
        lines.append(tag("tr", tag("th", text(row.title), scope="row") + said, data_of=row.name))
    if lines:
        content = scrolled(tag("table", tag("tbody", lines)), "Comparisons with the baseline")
        parts.append(folded("Every comparison with the baseline", content))
    return Section("words", "How it was decided", "".join(parts)) if parts else None
