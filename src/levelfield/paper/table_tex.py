"""The table of a study as a float of LaTeX: booktabs, intervals, and a mark a verdict, explained in its caption."""

from __future__ import annotations

from typing import Final

from levelfield.paper.ledger import PROVIDE, Ledger
from levelfield.statistics import Difference, Verdict, verdict
from levelfield.tables.number_format import NONE, difference_interval, interval, percent, short, signed
from levelfield.tables.rule_in_words import rule_in_words
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.text.columns import against_published, seeds
from levelfield.tables.text.footnotes import intervals_in_words, row_notes
from levelfield.tables.text.latex_words import latex_with_breaks as latex
from levelfield.tables.verdicts_in_words import more_seeds

MARKS: Final[dict[Verdict, tuple[str, str]]] = {
    "better": (r"$\blacktriangle$", "better than the baseline"),
    "worse": (r"$\blacktriangledown$", "worse than the baseline"),
    "equivalent": (r"$\approx$", "equivalent to the baseline within {margin:g} points"),
    "undecided": ("?", "undecided, in brackets about how many more seeds of both rows would tell {margin:g} points"),
    "too few seeds": ("--", "too few seeds to decide"),
}
HEADINGS: Final = (
    "", "seeds", r"top-1, \%", r"95\,\% interval", "to baseline", "interval", "", "rank", "parameters", "MACs",
)  # fmt: skip
PUBLISHED: Final = ("published", "difference")


def table_tex(table: StudyTable, ledger: Ledger) -> str:
    """A `table` float with the label `tab:levelfield`; rows of several test sets stand under each one's name."""
    published = any(row.runs.row.published for row in table.rows)
    headings = [*HEADINGS, *(PUBLISHED if published else ())]
    panels = list(dict.fromkeys(row.panel for row in table.ranked))
    body = []
    for place, panel in enumerate(panels):
        if len(panels) > 1:
            body += [
                r"\midrule" if place else "",
                rf"\multicolumn{{{len(headings)}}}{{l}}{{\emph{{{latex(panel)}}}}} \\",
            ]
        for row in (row for row in table.ranked if row.panel == panel):
            body += [ledger.row_comment(row), " & ".join(_cells(row, ledger, published)) + r" \\"]
    lines = [
        PROVIDE,
        ledger.study_comment(),
        r"\begin{table}[tbp]",
        r"\centering",
        rf"\caption{{{_caption(table, ledger)}}}",
        r"\label{tab:levelfield}",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}l{'r' * (len(headings) - 1)}@{{}}}}",
        r"\toprule",
        " & ".join(headings) + r" \\",
        r"\midrule",
        *(line for line in body if line),
        r"\bottomrule",
        r"\end{tabular}}",
        *_notes(table, ledger),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _cells(row: TableRow, ledger: Ledger, published: bool) -> list[str]:
    name = latex(row.title)
    if row.top1 is None:
        return [name, ledger.of(seeds(row), "seeds", [row]), row.state, *[""] * (7 + 2 * published)]

    def number(shown: str, what: str, value: float | None) -> str:
        return "--" if shown in (NONE, "") else ledger.of(shown, what, [row], value)

    cells = [
        name,
        ledger.of(seeds(row), "finished seeds", [row], row.n),
        number(percent(row.top1.value), "test top-1, mean over seeds, %", row.top1.value),
        number(interval(row.top1), "95 % interval of the mean over seeds", None),
        *_to_baseline(row, ledger),
        ledger.of(str(row.rank), "the places that the decided pairs leave to the row") if row.rank else "--",
        number(short(row.means.get("params")), "parameters", row.means.get("params")),
        number(short(row.means.get("macs")), "multiply-accumulates of a forward pass", row.means.get("macs")),
    ]
    if not published:
        return cells
    theirs, difference, inside = against_published(row)
    printed = "--" if theirs in (NONE, "") else ledger.of(theirs, "the value that its author printed", [row], own=False)
    what = "difference to the published value" + (f", {inside} the interval of one more run" if inside else "")
    return [*cells, printed, number(difference, what, None)]


def _to_baseline(row: TableRow, ledger: Ledger) -> list[str]:
    """Difference, interval and mark."""
    if row.is_baseline:
        return ["baseline", "", ""]
    pair = row.to_baseline
    if pair is None:
        return ["--", "--", "--"]
    base = [each for each in ledger.table.rows if each.name == pair.b]
    of = [row, *base]
    cells = [
        ledger.of(signed(pair.estimate), "difference of the means to the baseline, points", of, pair.estimate)
        if pair.estimate is not None
        else "--",
        ledger.of(found, "interval of the difference that decides", of)
        if (found := difference_interval(pair)) != NONE
        else "--",
    ]
    return [*cells, _mark(pair, of, ledger)]


def _mark(pair: Difference, of: list[TableRow], ledger: Ledger) -> str:
    sign, _ = MARKS[verdict(pair)]
    more = more_seeds(pair)
    return (
        sign if more is None else sign + "~(" + ledger.of(str(more), "about how many more seeds are needed", of) + ")"
    )


def _caption(table: StudyTable, ledger: Ledger) -> str:
    """What is compared, on what the numbers rest, and what the marks that occur mean."""
    study = table.study
    said = [latex(study.question or f"Comparison {study.name}.")]
    if study.scale not in ("", "full"):
        said.append(rf"Run at the reduced scale {latex(study.scale)}: not the study as published.")
    said += [ledger.of(line, "what the intervals rest on") for line in intervals_in_words(table)]
    seen = {verdict(row.to_baseline) for row in table.measured if row.to_baseline is not None}
    margin = study.margin
    marks = [f"{sign} {latex(words.format(margin=margin))}" for key, (sign, words) in MARKS.items() if key in seen]
    if marks:
        said.append("Against the baseline: " + "; ".join(marks) + ".")
    said.append("Rank: the places that a row may take; ties are ranges.")
    said.append(ledger.of(f"Fairness audit: {table.audit.verdict}", "the audit of the study"))
    return "\n".join(said)


def _notes(table: StudyTable, ledger: Ledger) -> list[str]:
    """What decides, and what is to be known of rows, below the table."""
    said = [ledger.of(line, "what the verdicts rest on") for line in rule_in_words(table)]
    for rows, note in row_notes(table):
        names = ", ".join(row.title for row in rows)
        said.append(ledger.of(f"{names}: {note}" + ("" if note.endswith(".") else "."), "a note on rows", rows))
    if not said:
        return []
    return [r"\par\medskip\begin{minipage}{\linewidth}\footnotesize", *said, r"\end{minipage}"]
