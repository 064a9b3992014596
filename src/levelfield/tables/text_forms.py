"""The table in the forms that a person or a program reads: terminal, Markdown, CSV, LaTeX, JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from levelfield.models import list_models, model_info
from levelfield.tables.audit.findings import listed
from levelfield.tables.cost_columns import MEASURED
from levelfield.tables.number_format import NONE, difference_interval, interval, percent, short, signed, whole
from levelfield.tables.rows import Sweep
from levelfield.tables.table import StudyTable, TableRow

VERDICT_STYLE = {"better": "green", "worse": "red", "not distinguishable": "dim"}


def against_baseline(row: TableRow) -> tuple[str, str, str]:
    """Difference to the baseline, its interval, and the verdict, as words."""
    if row.is_baseline:
        return "baseline", "", ""
    pair = row.to_baseline
    if pair is None:
        return NONE, "", ""
    return signed(pair.estimate), difference_interval(pair), pair.verdict


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
    for row in table.rows:
        if row.top1 is None:
            line = [row.title, "0", row.state] + [""] * 8
        else:
            line = [row.title, str(row.n), percent(row.top1.value), interval(row.top1), *against_baseline(row)]
            line += [str(row.rank or NONE), short(row.means.get("params")), short(row.means.get("macs"))]
            line += [whole(row.means.get("images_per_s"))]
        lines.append(line + (list(against_published(row)) if published else []))
    return header, lines


def to_rich(table: StudyTable) -> RenderableType:
    """The table for a terminal of 80 columns or more, with the audit above and its basis below."""
    parts: list[RenderableType] = []
    if table.study.question:
        parts.append(Text(table.study.question, style="bold"))
    if table.study.scale not in ("", "full"):
        parts.append(Text(f"Scale {table.study.scale}: reduced, not the study as published.", style="yellow"))
    parts.append(Text(f"Fairness: {table.audit.verdict}", style="yellow" if table.audit.unfair else "green"))
    parts += [Text(f"  ! {finding.text}", style="yellow") for finding in table.audit.unfair]
    parts += [Text(f"  {finding.text}", style="dim") for finding in table.audit.of("declared")]

    shown = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    shown.add_column("row", overflow="fold", min_width=12)
    for name in ("n", "top-1 %", "to baseline", "rank", "params", "MACs", "img/s"):
        shown.add_column(name, justify="right", no_wrap=True)
    panel = None
    for row in table.rows:
        if len(table.panels) > 1 and row.panel != panel:
            panel = row.panel
            shown.add_row(Text(panel or "other", style="bold"))
        shown.add_row(*_terminal_cells(row))
    parts.append(shown)
    if any(row.runs.row.published for row in table.rows):
        parts += [Text(), _published_table(table)]
    parts += [Text(line, style="dim") for line in basis(table)]
    return Group(*parts)


def _terminal_cells(row: TableRow) -> list[RenderableType]:
    if row.top1 is None:
        return [row.title, "0", Text(row.state, style="dim"), "", "", "", "", ""]
    difference, adjusted, verdict = against_baseline(row)
    against = Text(difference)
    if verdict:
        against = Text(f"{difference} ").append(adjusted, style="dim")
        against.append(f"\n{verdict}", style=VERDICT_STYLE[verdict])
    score = Text(percent(row.top1.value)).append(f"\n{interval(row.top1)}", style="dim")
    cost = [short(row.means.get("params")), short(row.means.get("macs")), whole(row.means.get("images_per_s"))]
    return [row.title, str(row.n), score, against, str(row.rank or NONE), *cost]


def _published_table(table: StudyTable) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    shown.add_column("published top-1 %", overflow="fold")
    for name in ("published", "measured", "difference", ""):
        shown.add_column(name, justify="right")
    for row in table.rows:
        if row.runs.row.published is not None:
            value, difference, inside = against_published(row)
            measured = percent(row.top1.value) if row.top1 else row.state
            shown.add_row(row.title, value, measured, difference, Text(inside, style="dim"))
    return shown


def basis(table: StudyTable) -> list[str]:
    """What the numbers of the table rest on, in a few sentences."""
    methods = sorted({row.top1.method for row in table.measured if row.top1 and row.top1.method != "none"})
    baselines = [comparison.baseline for comparison in table.panels.values() if comparison.baseline]
    title = {row.name: row.title for row in table.rows}
    lines = []
    if methods:
        lines.append(f"Top-1: mean over seeds and its 95 % interval ({' or '.join(methods)}), on one test set.")
    if baselines:
        lines.append(
            f"To baseline ({', '.join(title[name] for name in baselines)}): mean difference paired by seed, paired-t "
            "interval adjusted by Holm so that a table of equal rows claims any difference at most once in 20; it "
            "assumes about normal differences. Rank: the places a row may take; ties are ranges."
        )
    lines += [table.costs] if table.measured and table.costs else []
    lines += [f"{row.title}: {reason}" for row in table.rows for reason in row.runs.unfinished]
    lines += [f"{row.title}: {also_listed(row)}" for row in table.rows if row.runs.row.also]
    lines += [sweep_in_words(sweep) for sweep in table.study.sweeps]
    lines += _noted(table, _failures, "")
    lines += _noted(table, lambda row: row.runs.row.notes, "")
    lines += _noted(table, _model_notes, "")
    lines += _noted(table, _published_notes, "published ")
    return lines + list(table.study.notes)


def also_listed(row: TableRow) -> str:
    """The other rows that are this very training, each with what its author printed for it where that is another value;
    "" where there are none."""
    if not row.runs.row.also:
        return ""
    own = row.runs.row.published
    words = []
    for other in row.runs.row.also:
        printed = None if other.published is None else other.published.values.get("top1")
        same = printed is None or (own is not None and printed == own.values.get("top1"))
        words.append(other.title + ("" if same else f" (published {percent(printed)})"))
    return f"also listed as {listed(words, 30)}: the same training, counted once"


def sweep_in_words(sweep: Sweep) -> str:
    """What a sweep found for a row, in a sentence."""
    names = listed(list(sweep.rows), 30)
    tried = f"{names}: a sweep of {len(sweep.points)} points ({sweep.setting})"
    if sweep.best is None:
        return f"{tried} in which every point failed"
    lr, decay, score = sweep.best
    text = f"{tried} is best at learning rate {lr:g}, weight decay {decay:g} ({percent(score)} % on validation)"
    text += "" if sweep.sensitivity is None else f", {percent(sweep.sensitivity)} points above its median point"
    text += f"; the best lies on the edge of the grid ({', '.join(sweep.edges)})" if sweep.edges else ""
    failed = sum(point[2] is None for point in sweep.points)
    return text + (f"; {failed} points failed" if failed else "")


def _noted(table: StudyTable, notes_of: Callable[[TableRow], Iterable[str]], kind: str) -> list[str]:
    """Notes of rows, those that several share once: "a, b and c: published note"."""
    rows_of: dict[str, list[str]] = {}
    for row in table.rows:
        for note in notes_of(row):
            rows_of.setdefault(note, []).append(row.title)
    return [f"{listed(rows, 30)}: {kind}{note}" for note, rows in rows_of.items()]


def _failures(row: TableRow) -> list[str]:
    """Why seeds have no result, those with the same reason together."""
    seeds: dict[str, list[str]] = {}
    for seed, why in sorted(row.runs.row.failures.items()):
        seeds.setdefault(why.replace("\n", "; "), []).append(str(seed))
    return [f"no result of {listed([f'seed {s}' for s in of], 5)}: {why}" for why, of in seeds.items()]


def _model_notes(row: TableRow) -> list[str]:
    """What the registry says of the row's network, where it is used at the size that the note is of."""
    spec = row.runs.spec
    if spec is None or spec.model.name not in list_models():
        return []
    info = model_info(spec.model.name)
    return [info.note] if info.note and spec.model.image_size in (None, info.image_size) else []


def _published_notes(row: TableRow) -> list[str]:
    notes = list(row.runs.row.published.notes) if row.runs.row.published else []
    if row.published is not None and row.published.reasons:
        notes.append(f"not comparable ({'; '.join(row.published.reasons)})")
    return notes


def to_markdown(table: StudyTable) -> str:
    """A pipe table, with audit and basis as text."""
    header, lines = cells(table)
    rows = [header, ["---"] + ["---:"] * (len(header) - 1), *lines]
    out = [f"**Fairness audit.** {table.audit.verdict}", ""]
    said = [f"- {finding.text}" for finding in (*table.audit.unfair, *table.audit.of("declared"))]
    out += [*said, ""] if said else []
    out += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([*out, "", *basis(table)]) + "\n"


def to_latex(table: StudyTable) -> str:
    """A tabular for booktabs."""
    header, lines = cells(table)
    body = [" & ".join(_latex(cell) for cell in line) + r" \\" for line in lines]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"\toprule",
            " & ".join(_latex(cell) for cell in header) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *(f"% {line}" for line in [f"Fairness audit: {table.audit.verdict}", *basis(table)]),
        ]
    ) + "\n"  # fmt: skip


def _latex(cell: str) -> str:
    for plain, escaped in (
        ("\\", r"\textbackslash{}"),
        ("&", r"\&"),
        ("%", r"\%"),
        ("_", r"\_"),
        ("#", r"\#"),
        ("$", r"\$"),
    ):
        cell = cell.replace(plain, escaped)
    return cell.replace("−", "$-$").replace(NONE, "--").replace("^", r"\^{}").replace("~", r"\~{}")


def records(table: StudyTable) -> list[dict[str, Any]]:
    """One flat mapping a row, for CSV and JSON; None where there is no number."""
    return [_record(row) for row in table.rows]


def _record(row: TableRow) -> dict[str, Any]:
    pair, published = row.to_baseline, row.published
    spec, printed = row.runs.spec, row.runs.row.published
    return {
        "row": row.name,
        "label": row.title,
        "also": [other.name for other in row.runs.row.also],
        "group": row.runs.row.group,
        "panel": row.panel,
        "model": spec.model.name if spec else None,
        "data": spec.data.name if spec else None,
        "status": row.state,
        "unfinished": "; ".join(row.runs.unfinished) or None,
        "seeds": row.n,
        "top1": row.top1.value if row.top1 else None,
        "top1_sd": row.sd,
        "top1_low": row.top1.low if row.top1 else None,
        "top1_high": row.top1.high if row.top1 else None,
        "interval_method": row.top1.method if row.top1 else None,
        "sample_low": row.sample.low if row.sample else None,
        "sample_high": row.sample.high if row.sample else None,
        "baseline": row.is_baseline,
        "difference": pair.estimate if pair else None,
        "difference_low": pair.low if pair else None,
        "difference_high": pair.high if pair else None,
        "p_adjusted": pair.p_adjusted if pair else None,
        "verdict": pair.verdict if pair else None,
        "sign_flip_p": pair.sign_flip_p if pair else None,
        "sign_flip_min": pair.sign_flip_min if pair else None,
        "beats_baseline": pair.beats if pair else None,
        "rank_best": row.rank.best if row.rank else None,
        "rank_worst": row.rank.worst if row.rank else None,
        **{key: row.means.get(key) for key in ("top3", "top5", "loss", "f1_macro", "f1_weighted", "ece", "brier")},
        **{key: row.means.get(key) for key in ("params", "macs", *MEASURED, "train_seconds")},
        "published_top1": printed.values.get("top1") if printed else None,
        "published_difference": published.difference if published else None,
        "published_inside": published.inside if published else None,
        "not_comparable": "; ".join(published.reasons) if published and published.reasons else None,
    }


def to_csv(table: StudyTable) -> str:
    rows = records(table)
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "also": "; ".join(row["also"]) or None} for row in rows)
    return out.getvalue()


def to_json(table: StudyTable) -> dict[str, Any]:
    """Plain JSON values: the study, the audit, the rows, and every pair of rows that was compared."""
    findings: Sequence[Any] = [asdict(finding) for finding in table.audit.findings]
    return {
        "study": table.study.name,
        "question": table.study.question,
        "scale": table.study.scale,
        "audit": {"verdict": table.audit.verdict, "findings": findings},
        "command": table.study.command,
        "answer": table.study.answer,
        "rows": records(table),
        "pairs": [
            asdict(pair) | {"verdict": pair.verdict}
            for comparison in table.panels.values()
            for pair in comparison.pairs
        ],
        "sweeps": [asdict(sweep) for sweep in table.study.sweeps],
        "basis": basis(table),
    }


def to_json_text(table: StudyTable) -> str:
    return json.dumps(to_json(table), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
