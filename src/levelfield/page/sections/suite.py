"""The models of a study over its data sets: ranks, pairs, profiles."""

from __future__ import annotations

from levelfield.page import markup
from levelfield.page.charts.suite import critical_differences, profiles
from levelfield.page.figure import figures
from levelfield.page.markup import bullets, line
from levelfield.page.section import Section
from levelfield.tables.suite import COLUMNS, PAIRS, suite_of
from levelfield.tables.table import StudyTable


def suite(table: StudyTable) -> Section | None:
    """None for a study of one data set, or of other models on each."""
    found = suite_of(table)
    if found is None:
        return None
    charts = (critical_differences(found, "suite-ranks"), profiles(found, "suite-profiles"))
    content = bullets(found.in_words())
    content += markup.table(COLUMNS, [line(first, *cells) for first, *cells in found.lines()], "Models over all sets")
    content += figures(charts)
    content += markup.table(PAIRS, [line(first, *cells) for first, *cells in found.pair_lines()], "Pairs of models")
    return Section("suite", "Over all data sets", content, charts=charts)
