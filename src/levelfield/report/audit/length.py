"""Was every row trained as long, on as many images, in as many steps, to the end?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from statistics import fmean

from levelfield.report.audit.values import AuditRow, Finding, differing, odd_ones
from levelfield.spec import Budget, RunSpec

TOLERANCE = 0.01
"""Relative difference of counted images or epochs that is not worth a finding (last batches, rounding)."""


def budget_in_words(budget: Budget) -> str:
    for unit in ("epochs", "steps", "samples"):
        if (length := getattr(budget, unit)) is not None:
            return f"{length:,g} {unit}"
    raise AssertionError("a budget has a length")


def budget(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """Declared length, a warm-up that comes on top of it included."""

    def length(spec: RunSpec) -> str:
        warmup = getattr(spec.recipe.schedule, "warmup", None)
        words = budget_in_words(spec.budget)
        if warmup is not None and warmup.on_top and (more := warmup.epochs or warmup.steps):
            words += f" and {more:g} {'epochs' if warmup.epochs else 'steps'} of warm-up on top"
        return words

    yield from differing("budget", rows, length, "The declared length of training")


def pretraining(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """Where rows start from other rows' weights: how long those were trained (`pretraining_budget`)."""
    values = {row.name: row.fact("pretraining_budget") for row in rows}
    if (odd := odd_ones(values)) is not None:
        yield Finding(
            "pretraining", "unfair", f"The weights that rows start from were trained unequally. {odd[0]}", odd[1]
        )
    sources = {
        row.name: "given weights" if row.spec and row.spec.model.start_from else "scratch" for row in rows if row.spec
    }
    if (odd := odd_ones(sources)) is not None:
        yield Finding("pretraining", "unfair", f"Some rows start from trained weights, others do not. {odd[0]}", odd[1])


def steps(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """Optimiser steps: another batch size at an equal number of epochs means another number of steps."""
    counted = {}
    for row in rows:
        if row.spec is None:
            continue
        if row.spec.budget.steps is not None:
            counted[row.name] = row.spec.budget.steps
        elif taken := [result["steps"] for result in row.results if result.get("steps")]:
            counted[row.name] = round(fmean(taken))
        elif seen := [result["samples_seen"] for result in row.results if result.get("samples_seen")]:
            counted[row.name] = round(fmean(seen) / row.spec.recipe.batch_size)
    if counted and max(counted.values()) > (1 + TOLERANCE) * min(counted.values()):
        odd = odd_ones(counted, lambda value: f"{value:,} steps")
        if odd is not None:
            yield Finding("steps", "unfair", f"Rows took unequal numbers of optimiser steps. {odd[0]}", odd[1])
    yield from differing("steps", rows, lambda spec: f"batches of {spec.recipe.batch_size}", "The batch size", "note")


def samples(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """Training images that were really seen, repetitions included."""
    seen = {
        row.name: round(fmean(values))
        for row in rows
        if (values := [r["samples_seen"] for r in row.results if r.get("samples_seen")])
    }
    if seen and max(seen.values()) > (1 + TOLERANCE) * min(seen.values()):
        odd = odd_ones(seen, lambda value: f"{value:,} images")
        if odd is not None:
            yield Finding("samples", "unfair", f"Rows saw unequal numbers of training images. {odd[0]}", odd[1])


def cut_short(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """Runs that ended before their declared length, failed or are not finished."""
    for row in rows:
        if row.unfinished:
            yield Finding("cut_short", "note", f"{row.name} lacks runs: {'; '.join(row.unfinished)}", (row.name,))
        declared = row.spec.budget.epochs if row.spec else None
        done = [float(r["epochs_done"]) for r in row.results if r.get("epochs_done") is not None]
        if declared is not None and done and min(done) < declared * (1 - TOLERANCE):
            text = f"{row.name} was cut short: {min(done):g} of {declared:g} epochs"
            yield Finding("cut_short", "unfair", text, (row.name,))


def stopping(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """A limit in time stops slow models earlier than fast ones."""
    limited = tuple(row.name for row in rows if any(s.execution.stop_after_seconds is not None for s in row.specs))
    if limited:
        text = "A limit in seconds may have stopped runs: slow models then train less."
        yield Finding("stopping", "unfair" if len(limited) < len(rows) else "note", text, limited)


def seeds(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """Rows are compared pair by pair of equal seeds."""
    values = {
        row.name: tuple(sorted({int(r["seed"]) for r in row.results if r.get("seed") is not None}))
        for row in rows
        if row.results
    }
    if (
        odd := odd_ones({row: v for row, v in values.items() if v}, lambda v: "seeds " + ", ".join(map(str, v)))
    ) is not None:
        yield Finding("seeds", "note", f"Rows ran with different seeds; only common ones are paired. {odd[0]}", odd[1])
    single = tuple(row.name for row in rows if len(row.results) == 1)
    if single:
        yield Finding("seeds", "note", "Rows with one run show nothing of the spread over seeds.", single)


def mixed_science(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """The runs of one row must differ in nothing but the seed, and each may start from the weights of its own seed."""
    for row in rows:
        sciences = [spec.science() | {"seed": 0} for spec in row.specs]
        starts = {json.dumps(science["model"].pop("start_from"), sort_keys=True) for science in sciences}
        if len(starts) not in (1, len(sciences)) or (len(starts) > 1 and "null" in starts):
            yield Finding("mixed_science", "unfair", f"Some runs of {row.name} start from other weights.", (row.name,))
        if any(science != sciences[0] for science in sciences[1:]):
            text = f"The runs of {row.name} differ in more than the seed: they are not one row."
            yield Finding("mixed_science", "unfair", text, (row.name,))
