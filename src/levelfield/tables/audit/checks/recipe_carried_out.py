"""Whether runs did what their recipe declares: what is frozen, which epoch is chosen, which labels are smoothed."""

from __future__ import annotations

from collections.abc import Iterable

from levelfield.tables.audit.findings import Finding, Panel
from levelfield.tables.lists_in_words import counted, listed


def untrained(panel: Panel) -> Iterable[Finding]:
    """Parameters that were never trained, by freezing or by mistake."""
    looked, found = False, False
    for row in panel.measured:
        counts = {(r["params"], r["trainable_params"]) for run in row.own if (r := run.result).get("trainable_params")}
        looked = looked or bool(counts)
        never = max((params - trained for params, trained in counts), default=0)
        if not never:
            continue
        freeze = row.spec.recipe.freeze if row.spec is not None else None
        declared = freeze is not None and bool(freeze.patterns) and freeze.epochs is None
        found = True
        how = "frozen as its recipe declares" if declared else "though its recipe freezes none for good"
        text = f"{never:,} parameters of {row.name} were never trained, {how}."
        yield Finding("untrained", "differs" if declared else "unfair", text, (row.name,))
    if looked and not found:
        yield Finding("untrained", "passed", f"every parameter of {panel.every} was trained")


def selection(panel: Panel) -> Iterable[Finding]:
    """Runs that declare the best epoch on validation must have chosen one, on images that they held out."""
    wrong = []
    chosen = 0
    for row in panel.measured:
        for run in row.own:
            if run.spec is None or run.spec.recipe.selection != "best_validation":
                continue
            chosen += 1
            if not run.spec.data.validation or run.result.get("best_epoch") is None:
                wrong.append((row.name, f"{row.name} seed {run.seed}"))
    if wrong:
        text = f"The best epoch on validation was declared but not chosen: {listed([name for _, name in wrong])}."
        yield Finding("selection", "unfair", text, tuple(dict.fromkeys(row for row, _ in wrong)))
    elif chosen:
        yield Finding("selection", "passed", f"{counted(chosen, 'run')} chose their epoch on held-out training images")


def smoothing(panel: Panel) -> Iterable[Finding]:
    """Label smoothing that a recipe declares and drops from mixed batches."""
    dropped = []
    for row in panel.measured:
        if row.spec is None or not row.spec.recipe.regularisation.label_smoothing:
            continue
        if row.spec.recipe.mix.active and not row.spec.recipe.regularisation.smoothing_with_mix:
            dropped.append(row.name)
    if dropped:
        text = f"Label smoothing is dropped from mixed batches, as the recipe declares, in {listed(dropped)}."
        yield Finding("smoothing", "differs", text, tuple(dropped))
