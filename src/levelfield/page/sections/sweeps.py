"""How sensitive the rows are to their learning rate and weight decay."""

from __future__ import annotations

from levelfield.page import markup
from levelfield.page.charts.sensitivity import sensitivity
from levelfield.page.figure import figures
from levelfield.page.markup import bullets, folded, line, paragraph
from levelfield.page.section import Section
from levelfield.tables.number_format import percent
from levelfield.tables.table import StudyTable
from levelfield.tables.text.footnotes import sweep_in_words
from levelfield.units import plain

SWEPT = ("row", "setting of the sweep", "learning rate", "weight decay", "validation top-1 %", "")


def sweeps(table: StudyTable) -> Section | None:
    """Every point of every sweep: how sensitive each row is to its learning rate and weight decay."""
    if not table.study.sweeps:
        return None
    lines = []
    for sweep in table.study.sweeps:
        for lr, decay, score in sweep.points:
            best = sweep.best is not None and (lr, decay) == sweep.best[:2]
            cells = (sweep.setting, plain(lr), plain(decay), percent(score), "best" if best else "")
            lines.append(line(", ".join(sweep.rows), *cells))
    said = bullets(sweep_in_words(sweep) for sweep in table.study.sweeps)
    note = "One seed a point, chosen on the validation slice at equal budgets; test was not looked at."
    chart = sensitivity(table.study.sweeps, "sweeps-rates")
    charts = () if chart is None else (chart,)
    points = folded("Every point", markup.table(SWEPT, lines, "Points of the sweeps"))
    content = paragraph(note, class_="note") + figures(charts) + said + points
    return Section("sweeps", "Sensitivity to the learning rate", content, charts=charts)
