"""Looks at a study's table while it grows: the next one made and kept, so that what was decided stays so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from levelfield.statistics import Comparison
from levelfield.statistics.looks import Look, further_share
from levelfield.tables.looks import Looks, read_looks, setting_digest, write_looks
from levelfield.tables.make_table import compared
from levelfield.tables.rows import StudyRows, one_per_training
from levelfield.tables.runs_of_row import RowRuns, read_row


def make_look(
    rows: StudyRows, looks: Looks, share: float, out: Path, only: Mapping[str, Sequence[int]] | None = None,
    *, asked: int = 0,
) -> Looks:  # fmt: skip
    """Look at the finished runs of `rows`, decide at `share` of the level, and keep it in looks.json of `out`.

    `only`: the seeds that count, by row; rows that are not named take no part. None: all rows and seeds. `asked`: so
    many seeds a row a plan had for this look; 0: nobody planned it.
    """
    study = replace(rows, rows=one_per_training(rows.rows))
    seeds = {row: tuple(held) for row, held in finished_seeds(study).items() if held}
    if only is not None:
        seeds = {row: tuple(s for s in held if s in only[row]) for row, held in seeds.items() if row in only}
    settings = {row.name: setting_digest(row.declared) for row in study.rows}
    looks = (looks.of(settings) or replace(looks, looks=())).with_look(Look(seeds, share, asked))
    looks = replace(looks, settings=settings)
    before = {pair.pair for look in looks.looks for pair in look.pairs or () if pair.different or pair.equivalent}
    _, _, panels, _ = compared(replace(study, looks=looks))
    pairs = (pair for panel in panels.values() for pair in panel.pairs)
    found = tuple(pair for pair in pairs if pair.pair <= seeds.keys() and pair.pair not in before)
    last = replace(looks.looks[-1], pairs=found)
    looks = replace(looks, looks=(*looks.looks[:-1], last))
    write_looks(out, looks)
    return looks


def finished_seeds(study: StudyRows) -> dict[str, list[int]]:
    """The seeds of the finished runs of each row."""
    return {row.name: [run.seed for run in read_row(row).finished] for row in one_per_training(study.rows)}


def table_before(rows: StudyRows, declared: int, out: Path) -> None:
    """Keep that the table of `rows` has been seen, and what it decided at its whole 5 %: before seeds may be added to a
    study whose `declared` seeds, and all others that were asked for, are there. A table of single runs decides nothing,
    and is no look."""
    if read_looks(out) is not None:
        return
    held = {row.name: {run.seed for run in read_row(row).finished} for row in rows.rows if row.declared}
    complete = all(set(row.planned) <= held[row.name] | row.failures.keys() for row in rows.rows if row.declared)
    if complete and max(map(len, held.values()), default=0) >= max(2, declared):
        make_look(rows, Looks((), rows.margin, rows.verdict, {}), 1.0, out)


def further_look(rows: StudyRows, out: Path) -> Looks | None:
    """After a study was carried out: where its table had been looked at before and has more runs now, that is a further
    look. The looks made, None where there is no more than one."""
    looks = read_looks(out)
    if looks is None:
        return None
    seen, now = looks.seen, finished_seeds(rows)
    return (
        looks
        if all(seen.get(row, set()).issuperset(seeds) for row, seeds in now.items())
        else make_look(rows, looks, further_share(looks.looks), out)
    )


def open_rows(rows: StudyRows) -> list[str]:
    """The trainings of which the study's question is still open: those that it compares with the baseline, or, where it
    names steps, that are before or after one, while that comparison is undecided; and what they are compared with."""
    study = replace(rows, rows=one_per_training(rows.rows))
    runs, panel_of, panels, _ = compared(study)
    found: set[str] = set()
    for panel, comparison in panels.items():
        for pair in _question(study, [one for one in runs if panel_of[one.row.name] == panel], comparison):
            between = comparison.between(*pair)
            if between is not None and not (between.different or between.equivalent):
                found.update(pair)
    return [row.name for row in study.rows if row.name in found]


def _question(study: StudyRows, runs: Sequence[RowRuns], comparison: Comparison) -> list[tuple[str, str]]:
    """The pairs of rows of one panel that the study's question is about."""
    line = {name: one.row.name for one in runs for name in one.row.names}
    if study.steps:
        return [(line[after], line[before]) for _, before, after in study.steps if {before, after} <= line.keys()]
    baseline = comparison.baseline
    return [] if baseline is None else [(name, baseline) for name in comparison.ranks if name != baseline]
