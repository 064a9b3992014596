"""The table of a study, built: rows are read, compared, audited, and the question of the study is answered.

Rows are compared where they were tested on the same thing: the rows of one test set are a panel, with a baseline and a
family of comparisons of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Final

import numpy as np

from levelfield.errors import unknown
from levelfield.statistics import (
    AgainstPublished,
    Comparison,
    Conditions,
    Estimate,
    RowIntervals,
    RowScores,
    against_published,
    sample_interval,
)
from levelfield.statistics.looks import compare_at_looks
from levelfield.tables.answer_to_question import answer
from levelfield.tables.audit import AuditRow, audit
from levelfield.tables.comparable_rows import placed
from levelfield.tables.cost_columns import costs_in_words, costs_of, profile_command, read_costs
from levelfield.tables.looks import looks_in_words, rule_of_table, setting_digest
from levelfield.tables.rows import Row, StudyRows, one_per_training
from levelfield.tables.runs_of_row import RowRuns, read_row
from levelfield.tables.scores_of_rows import scores_of_rows
from levelfield.tables.table import TableRow
from levelfield.tables.users_table import UsersTable
from levelfield.tables.verdict_rule import with_rule

AVERAGED: Final = (
    "top3", "top5", "loss", "f1_macro", "f1_weighted", "ece", "brier", "params", "trainable_params", "param_mib",
    "macs", "flops", "train_seconds", "eval_seconds", "epochs_done", "samples_seen",
)  # fmt: skip
"""Keys of result.json that a row shows as the mean over its seeds."""


def build_table(
    rows: Sequence[Row] | StudyRows,
    baseline: str | None = None,
    data_dir: str | None = None,
    *,
    margin: float | None = None,
    verdict: str | None = None,
) -> UsersTable:
    """Read the runs of all rows, compare and audit them, and answer the study's question.

    Rows that are the same training are one line, which is listed under the first of their names. `baseline`: a row's
    name; None: the study's, else the first row with a result. A panel that does not hold it is compared with its own
    first measured row. `data_dir`: where the audit may find their data. `margin`: points
    of top-1 within which rows are called equivalent; `verdict`: "usual", or "strict" for claims of a difference only
    where BCa and an exact permutation test agree; None: the study's. A study that was looked at while it grew keeps the
    margin of the looks.
    Raises UserError for a baseline that is no row, and for a margin or rule that cannot be.
    """
    study = rows if isinstance(rows, StudyRows) else StudyRows(name="", rows=tuple(rows))
    within, rule = rule_of_table(study.looks, (study.margin, study.verdict), margin, verdict)
    command = with_rule(study.command, within, rule)
    study = replace(study, rows=one_per_training(study.rows), margin=within, verdict=rule, command=command)
    runs, panel_of, panels, scores = compared(study, baseline)
    if study.looks is not None:
        held = {one.row.name: [run.seed for run in one.finished] for one in runs if one.row.declared}
        study = replace(study, notes=(*study.notes, *looks_in_words(study.looks, held)))
    intervals = {panel: RowIntervals(rows) for panel, rows in scores.items()}
    profiles = read_costs(study.path)
    table = UsersTable(
        study=study,
        rows=tuple(_line(r, (p := panel_of[r.row.name]), panels[p], intervals[p], study, profiles) for r in runs),
        panels=panels,
        audit=audit([AuditRow(r, panel_of[r.row.name]) for r in runs], study.varies, study.path, data_dir),
        costs=costs_in_words(profiles, profile_command(study) if study.command else ""),
    )
    return replace(table, study=replace(study, answer=answer(table)))


def compared(
    study: StudyRows, baseline: str | None = None
) -> tuple[list[RowRuns], dict[str, str], dict[str, Comparison], dict[str, dict[str, RowScores]]]:
    """What `study`, whose rows are trainings of their own, has of each row; the panel of each, by name; the comparison
    of each panel, by the looks that were made at it; and the scores that it was made from. `baseline`: as of
    `build_table`."""
    line_of = {name: row.name for row in study.rows for name in row.names}
    baseline = baseline or study.baseline
    if baseline is not None and baseline not in line_of:
        raise unknown("baseline row", baseline, list(line_of))
    looks = study.looks and study.looks.of({row.name: setting_digest(row.declared) for row in study.rows})
    runs, panel_of = placed([read_row(row) for row in study.rows])
    steps = steps_between(study)
    panels: dict[str, Comparison] = {}
    scores_of: dict[str, dict[str, RowScores]] = {}
    for panel in dict.fromkeys(panel_of.values()):
        scores_of[panel] = scores = scores_of_rows([r for r in runs if panel_of[r.row.name] == panel])
        first = line_of.get(baseline or "")
        first = first if first in scores else _first_own(runs, scores)
        made = None if looks is None else looks.looks
        panels[panel] = compare_at_looks(
            scores, made, first, steps=steps, margin=study.margin, strict=study.verdict == "strict"
        )
    return runs, panel_of, panels, scores_of


def steps_between(study: StudyRows) -> list[tuple[str, str]]:
    """The pairs (after, before) that the declared steps of `study` compare, by the lines of its table."""
    line_of = {name: row.name for row in study.rows for name in row.names}
    return [
        (line_of[after], line_of[before]) for _, before, after in study.steps if before in line_of and after in line_of
    ]


def _first_own(runs: Sequence[RowRuns], scores: Mapping[str, object]) -> str | None:
    """The first measured row of a panel that is not somebody else's predictions; one of those only where all are."""
    own = (r.row.name for r in runs if r.row.name in scores and not r.row.predictions)
    return next(own, next(iter(scores), None))


def _line(
    runs: RowRuns,
    panel: str,
    comparison: Comparison,
    intervals: RowIntervals,
    study: StudyRows,
    profiles: Sequence[Mapping[str, Any]],
) -> TableRow:
    name = runs.row.name
    if not runs.finished:
        return TableRow(runs, panel, None, None, None, False, None, None, {}, None)
    top1 = [float(run.result["top1"]) for run in runs.finished]
    estimate = intervals.of_mean(name)
    images = _test_images(runs)
    return TableRow(
        runs=runs,
        panel=panel,
        top1=estimate,
        sd=float(np.std(top1, ddof=1)) if len(top1) > 1 else None,
        sample=sample_interval(estimate.value, images) if images else None,
        is_baseline=name == comparison.baseline,
        to_baseline=comparison.to_baseline(name),
        rank=comparison.ranks.get(name),
        means={
            key: fmean(values)
            for key in AVERAGED
            if (values := [run.result[key] for run in runs.finished if run.result.get(key) is not None])
        }
        | costs_of(profiles, runs.spec),
        published=_published(runs, top1, intervals.of_further_run(name), study),
    )


def _test_images(runs: RowRuns) -> int:
    """Test images of a row, from the supports of its per-class report."""
    return sum(int(line["support"]) for line in runs.finished[0].result.get("classes") or ())


def _published(runs: RowRuns, top1: list[float], one_more: Estimate, study: StudyRows) -> AgainstPublished | None:
    published = runs.row.published
    if published is None or "top1" not in published.values:
        return None
    classes = runs.finished[0].result.get("classes")
    return against_published(
        top1,
        published.values["top1"],
        Conditions(
            runs.spec.data.name if runs.spec else None, len(classes) if classes else None, _reduced(runs, study)
        ),
        Conditions(published.data, published.num_classes),
        one_more,
    )


def _reduced(runs: RowRuns, study: StudyRows) -> tuple[str, ...]:
    """Why a row is not what its author's figure was measured on, in words."""
    reasons = [f"changed on the command line: {', '.join(study.changes)}"] if study.changes else []
    spec: Any = runs.spec
    if any(run.result.get("data_official") is False for run in runs.finished):
        reasons.append("the data is not the official set")
    if study.scale not in ("", "full"):
        reasons.append(f"run at the reduced scale {study.scale!r}")
    if spec is not None and spec.data.train_limit:
        reasons.append(f"trained on a subset of {spec.data.train_limit:,} images")
    if spec is not None and spec.data.test_limit:
        reasons.append(f"tested on a subset of {spec.data.test_limit:,} images")
    return tuple(reasons)
