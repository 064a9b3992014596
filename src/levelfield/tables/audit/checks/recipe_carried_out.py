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
    asked = [(row, run) for row, run in panel.own if run.spec.recipe.selection == "best_validation"]
    wrong = [(row, run) for row, run in asked if not run.spec.data.validation or run.result.get("best_epoch") is None]
    if wrong:
        runs = listed([f"{row.name} seed {run.seed}" for row, run in wrong])
        text = f"The best epoch on validation was declared but not chosen: {runs}."
        yield Finding("selection", "unfair", text, tuple(dict.fromkeys(row.name for row, _ in wrong)))
    elif asked:
        text = f"{counted(len(asked), 'run')} chose their epoch on held-out training images"
        yield Finding("selection", "passed", text)


def smoothing(panel: Panel) -> Iterable[Finding]:
    """Label smoothing that a recipe declares and drops from mixed batches."""
    recipes = {name: spec.recipe for name, spec in panel.specs.items()}
    dropped = [
        name
        for name, recipe in recipes.items()
        if recipe.regularisation.label_smoothing and not recipe.regularisation.smoothing_with_mix and recipe.mix.active
    ]
    if dropped:
        text = f"Label smoothing is dropped from mixed batches, as the recipe declares, in {listed(dropped)}."
        yield Finding("smoothing", "differs", text, tuple(dropped))
