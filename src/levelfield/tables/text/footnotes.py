"""What stands below a table: what its numbers rest on, what did not come out, what is known of rows and networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from levelfield.data.sources.done_to_data import done_to_data
from levelfield.known_models import known_model
from levelfield.statistics.pair_tests import LEAST
from levelfield.statistics.row_intervals import METHOD
from levelfield.tables.best_of_trials import sweep_in_words, verdicts_in_words
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.number_format import difference_interval, percent
from levelfield.tables.rule_in_words import rule_in_words
from levelfield.tables.runs_of_row import Trained
from levelfield.tables.suite import why_no_suite
from levelfield.tables.table import StudyTable, TableRow


def footnotes(table: StudyTable) -> list[str]:
    """What the numbers of the table rest on, in a few sentences, and what is to be known of its rows."""
    notes = [f"{listed([row.title for row in rows], 30)}: {note}" for rows, note in row_notes(table)]
    return (
        basis(table)
        + data_in_words(table)
        + elsewhere_in_words(table)
        + [sweep_in_words(sweep) for sweep in table.study.sweeps]
        + verdicts_in_words(table.study.sweeps)
        + [why for why in (why_no_suite(table),) if why]
        + notes
        + list(table.study.notes)
    )


def basis(table: StudyTable) -> list[str]:
    """What the numbers and the verdicts of the table rest on."""
    return intervals_in_words(table) + rule_in_words(table) + _costs(table)


def elsewhere_in_words(table: StudyTable) -> list[str]:
    """Of each row beside the baseline, where the difference lies on other images, and whether it is decided there."""
    said = [
        f"{row.title} {difference_interval(beyond)}, {'different' if beyond.different else 'not decided'} there"
        for row in table.measured
        if row.to_baseline is not None and (beyond := row.to_baseline.elsewhere) is not None and beyond.low is not None
    ]
    return [f"To baseline on other images of the same kind: {'; '.join(said)}."] if said else []


def audit_in_words(table: StudyTable) -> str:
    """The audit's sentence, for forms that do not hold what it only mentions."""
    mentioned = table.audit.of("differs") or table.audit.of("unchecked")
    return table.audit.verdict + (" The page and --json name each." if mentioned else "")


def data_in_words(table: StudyTable) -> list[str]:
    """What levelfield did to the data that rows were trained and tested on, each data set by name."""
    said: dict[str, None] = {}
    for row in table.measured:
        for run in row.runs.finished:
            if isinstance(run, Trained):
                notes = run.folder.description().get("data", {}).get("notes", ())
                said |= dict.fromkeys(f"{run.spec.data.name}: {note}." for note in done_to_data(notes))
    return list(said)


def sources(table: StudyTable) -> list[str]:
    """Of what the numbers of the table are."""
    return intervals_in_words(table) + _costs(table)


def _costs(table: StudyTable) -> list[str]:
    return [table.costs] if table.measured and table.costs else []


def row_notes(table: StudyTable) -> list[tuple[list[TableRow], str]]:
    """What is to be known of rows, each note once with the rows that it is of."""
    rows_of: dict[str, list[TableRow]] = {}
    seen = {row.name: row for row in table.rows}
    for notes_of in (
        _unfinished,
        _also,
        _failures,
        _no_interval,
        _other_runs,
        _notes,
        _model_notes,
        _published_notes,
    ):
        for row in table.rows:
            for note in notes_of(row, seen):
                rows_of.setdefault(note, []).append(row)
    return [(rows, note) for note, rows in rows_of.items()]


def intervals_in_words(table: StudyTable) -> list[str]:
    """What the intervals of the rows rest on; those of few seeds apart, by name."""
    measured = [(row, row.top1) for row in table.measured if row.top1 is not None]
    few = [row.title for row, top1 in measured if top1.method == METHOD and row.n < LEAST]
    equal = [row.title for row, top1 in measured if top1.method == METHOD and row.n >= LEAST]
    others = list(dict.fromkeys(top1.method for _, top1 in measured if top1.method not in (METHOD, "none")))
    if not few and not equal and not others:
        return []
    said = f"Top-1: mean over seeds and its 95 % interval{f' ({listed(others)})' if others else ''}, on one test set."
    kinds = [f"one or two seeds ({listed(few, 8)})"] if few else []
    kinds += [f"seeds of equal scores ({listed(equal, 8)})"] if equal else []
    if kinds:
        said += (
            f" With {' and with '.join(kinds)} it comes from how often runs disagree on an image and from how far "
            "above that the variance of real rows lies."
        )
    return [said]


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


Rows = Mapping[str, TableRow]
"""The rows of a table by name."""


def _no_interval(row: TableRow, _: Rows) -> list[str]:
    """Why a row's mean has no interval."""
    return [f"no interval: {row.top1.assumption}"] if row.top1 is not None and row.top1.low is None else []


def _other_runs(row: TableRow, rows: Rows) -> list[str]:
    """Over which runs a row is compared with the baseline, where these are not all that the two have: starts in common,
    seed by seed, or those of the look that the difference is of."""
    pair = row.to_baseline
    if pair is None or pair.runs == (row.n, rows[pair.b].n):
        return []
    title = rows[pair.b].title
    if not pair.paired:
        seeds = " and ".join(map(str, dict.fromkeys(pair.runs)))
        return [f"the difference is as at the look with {seeds} seeds, not that of the two means"]
    if not pair.runs[0]:
        return [f"compared seed by seed, and no start in common with {title}: no difference can be told"]
    starts = counted(pair.runs[0], "start")
    return [f"the difference is seed by seed, over the {starts} in common with {title}, not that of the two means"]


def _unfinished(row: TableRow, _: Rows) -> Sequence[str]:
    return row.runs.unfinished


def _also(row: TableRow, _: Rows) -> list[str]:
    return [also_listed(row)] if row.runs.row.also else []


def _notes(row: TableRow, _: Rows) -> Sequence[str]:
    return row.runs.row.notes


def _failures(row: TableRow, _: Rows) -> list[str]:
    """Why seeds have no result, those with the same reason together."""
    seeds: dict[str, list[str]] = {}
    for seed, why in sorted(row.runs.row.failures.items()):
        seeds.setdefault(why.replace("\n", "; "), []).append(str(seed))
    return [f"no result of {listed([f'seed {s}' for s in of], 5)}: {why}" for why, of in seeds.items()]


def _model_notes(row: TableRow, _: Rows) -> list[str]:
    """What the registry says of the row's network, where it is used at the size that the note is of."""
    spec = row.runs.spec
    info = None if spec is None else known_model(spec.model.name)
    if spec is None or info is None:
        return []
    return [info.note] if info.note and spec.model.image_size in (None, info.image_size) else []


def _published_notes(row: TableRow, _: Rows) -> list[str]:
    notes = list(row.runs.row.published.notes) if row.runs.row.published else []
    if row.published is not None and row.published.reasons:
        notes.append(f"not comparable ({'; '.join(row.published.reasons)})")
    return [f"published {note}" for note in notes]
