"""The columns of Markdown and LaTeX, and what a row shows against its baseline and against what was published."""

from __future__ import annotations

from levelfield.tables.number_format import NONE, difference_interval, interval, percent, short, signed, whole
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.verdicts_in_words import verdict_words


def seeds(row: TableRow) -> str:
    """How many seeds came through, and how many of how many did not."""
    return f"{row.n} ({row.failed} of {row.n + row.failed} failed)" if row.failed else str(row.n)


def against_baseline(row: TableRow) -> tuple[str, str, str]:
    """Difference to the baseline, its interval, and the verdict, as words."""
    if row.is_baseline:
        return "baseline", "", ""
    pair = row.to_baseline
    if pair is None:
        return NONE, "", ""
    return signed(pair.estimate), difference_interval(pair), verdict_words(pair)


def against_published(row: TableRow) -> tuple[str, str, str]:
    """Published value, difference to it, and whether it lies in the interval over seeds, as words."""
    published = row.runs.row.published
    printed = None if published is None else published.values.get("top1")
    if row.published is None or row.published.difference is None:
        return percent(printed), "", "not comparable" if row.published is not None else ""
    inside = {True: "inside", False: "outside", None: "no interval"}[row.published.inside]
    return percent(printed), signed(row.published.difference), inside


def cells(table: StudyTable) -> tuple[list[str], list[list[str]]]:
    """Header and one list of words a row, for Markdown and LaTeX."""
    header = ["row", "seeds", "top-1 %", "95 % interval", "to baseline", "adjusted interval", "verdict", "rank"]
    header += ["params", "MACs", "images/s"]
    published = any(row.runs.row.published for row in table.rows)
    header += ["published", "difference", "inside"] if published else []
    lines = []
    for row in table.by_panel:
        if row.top1 is None:
            line = [row.title, seeds(row), row.state] + [""] * 8
        else:
            line = [row.title, seeds(row), percent(row.top1.value), interval(row.top1), *against_baseline(row)]
            line += [str(row.rank or NONE), short(row.means.get("params")), short(row.means.get("macs"))]
            line += [whole(row.means.get("images_per_s"))]
        lines.append(line + (list(against_published(row)) if published else []))
    return header, lines
