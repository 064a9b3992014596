"""How long runs trained: the steps and images that were counted, against each other and against what was declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Final

from levelfield.spec import Budget
from levelfield.tables.audit.checks.settings import same
from levelfield.tables.audit.findings import Finding, Panel, differing
from levelfield.tables.lists_in_words import counted

DEVIATION: Final = 0.01
"""Relative difference of counted steps or images that is not worth a finding (last batches, rounding)."""


def length(panel: Panel) -> Iterable[Finding]:
    """Steps and images that were counted, where equal settings promise equal numbers; and runs that stopped early."""
    found = False
    if same(panel, "budget", "recipe.batch_size", "recipe.schedule", "data"):
        for key, what in (("steps", "optimiser steps"), ("samples_seen", "training images")):
            means = {row.name: round(fmean(taken)) for row in panel.measured if (taken := row.results(key))}
            if means and max(means.values()) > (1 + DEVIATION) * min(means.values()):
                found = True
                values = {name: f"{mean:,} {what}" for name, mean in means.items()}
                yield from differing("length", "unfair", f"The counted number of {what} differs", values)
    known = 0
    for row, run in panel.own:
        if (done := _done(run.result, run.spec.budget)) is not None:
            known += 1
            if done[0] < done[1] * (1 - DEVIATION):
                found = True
                text = f"{row.name} seed {run.seed} stopped early: {done[0]:g} of {budget_in_words(run.spec.budget)}."
                yield Finding("length", "unfair", text, (row.name,))
    if known and not found:
        yield Finding("length", "passed", f"{counted(known, 'run')} trained to their declared end")


def _done(result: Mapping[str, object], budget: Budget) -> tuple[float, float] | None:
    """How far a run came and how far it should have, in the unit of its budget; None where it does not say."""
    for unit, key in (("epochs", "epochs_done"), ("steps", "steps"), ("samples", "samples_seen")):
        asked, done = getattr(budget, unit), result.get(key)
        if asked is not None and isinstance(done, (int, float)):
            return float(done), float(asked)
    return None


def budget_in_words(budget: Budget) -> str:
    for unit in ("epochs", "steps", "samples"):
        if (long := getattr(budget, unit)) is not None:
            return f"{long:,g} {unit}"
    raise AssertionError("a budget has a length")
