"""Was every row trained and chosen by the same rules, and did what was declared really happen?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from levelfield.report.audit.values import AuditRow, Finding, differing, odd_ones
from levelfield.spec import RunSpec


def selection(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """Last or best epoch, raw or averaged weights."""
    rule = {"last": "the last epoch", "best_validation": "the best epoch on validation"}
    yield from differing("selection", rows, lambda s: rule[s.recipe.selection], "Which epoch is the result")

    def weights(spec: RunSpec) -> str:
        averaging = spec.recipe.averaging
        return "raw weights" if averaging.name == "none" else f"{averaging.evaluate} weights"

    yield from differing("selection", rows, weights, "Whether averaged weights are the result")


def warmup(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    def length(spec: RunSpec) -> str:
        found = getattr(spec.recipe.schedule, "warmup", None)
        if found is None:
            return f"{spec.recipe.schedule.name} schedule"
        for unit, value in (("steps", found.steps), ("epochs", found.epochs)):
            if value:
                return f"{value:g} {unit} of warm-up"
        return f"warm-up over {found.ratio:.0%} of the run" if found.ratio else "no warm-up"

    yield from differing("warmup", rows, length, "Warm-up")


def precision(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """A row that never ran says "auto": what that would be is decided where it runs."""

    def known(spec: RunSpec) -> str | None:
        return None if spec.recipe.precision in ("auto", "bf16_if_native") else spec.recipe.precision

    yield from differing("precision", rows, known, "Precision (mixed or full)")
    yield from differing(
        "precision", rows, lambda s: s.recipe.tf32, "TensorFloat-32", "note", lambda on: "on" if on else "off"
    )


def untrained(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """Parameters that were never trained, by freezing or by mistake."""
    for row in rows:
        frozen = row.spec is not None and row.spec.recipe.freeze.patterns and row.spec.recipe.freeze.epochs is None
        counts = {(r["params"], r["trainable_params"]) for r in row.results if r.get("trainable_params") is not None}
        never = max((params - trained for params, trained in counts), default=0)
        if never:
            how = "frozen as declared" if frozen else "nobody declared that"
            severity = "note" if frozen and len(rows) == 1 else "unfair"
            text = f"{never:,} parameters of {row.name} were never trained ({how})."
            yield Finding("untrained", severity, text, (row.name,))  # type: ignore[arg-type]
    values = {row.name: _frozen(row) for row in rows if row.spec is not None}
    if (odd := odd_ones(values)) is not None:
        yield Finding("untrained", "unfair", f"Rows freeze different parameters. {odd[0]}", odd[1])


def _frozen(row: AuditRow) -> str:
    freeze = row.spec.recipe.freeze if row.spec else None
    if freeze is None or not freeze.patterns:
        return "nothing frozen"
    length = "throughout" if freeze.epochs is None else f"for {freeze.epochs} epochs"
    return f"{', '.join(freeze.patterns)} frozen {length}"


def smoothing(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """Label smoothing that is declared but does not reach the loss."""
    for row in rows:
        if row.spec is None or not (declared := row.spec.recipe.regularisation.label_smoothing):
            continue
        applied = row.fact("smoothing_applied")
        mix = row.spec.recipe.mix
        if applied is not None and applied < declared:
            text = f"{row.name} declares label smoothing {declared:g}, but {applied:g} was applied."
            yield Finding("smoothing", "unfair", text, (row.name,))
        elif applied is None and mix.active and not row.spec.recipe.regularisation.smoothing_with_mix:
            text = f"{row.name} declares label smoothing {declared:g}, but drops it from the {mix.probability:.0%} of "
            text += "batches that are mixed."
            yield Finding("smoothing", "note", text, (row.name,))
    yield from differing(
        "smoothing", rows, lambda s: s.recipe.regularisation.label_smoothing, "Label smoothing", "note", "{:g}".format
    )


def recipe(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """Everything else in the recipe: not unfair in itself (it may be the question), but never to be overlooked."""
    fields = {
        "optimiser": lambda s: s.recipe.optimizer.name,
        "learning rate": lambda s: f"{s.recipe.optimizer.lr:g}",
        "weight decay": lambda s: f"{s.recipe.optimizer.weight_decay:g}",
        "schedule": lambda s: s.recipe.schedule.name,
        "augmentation": lambda s: _words(s.recipe.augment),
        "mixing": lambda s: _words(s.recipe.mix) if s.recipe.mix.active else "no mixing",
        "drop path": lambda s: s.recipe.regularisation.drop_path,
        "hand-over to another optimiser": lambda s: len(s.recipe.phases) or "none",
    }
    for what, read in fields.items():
        yield from differing("recipe", rows, read, what[0].upper() + what[1:], "note")
    unknown = tuple(row.name for row in rows if row.fact("setting_unknown"))
    if unknown:
        text = "The published setting is unknown; it was searched for with an equal budget for every such row."
        yield Finding("recipe", "note", text, unknown)


def environment(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """Speed may only be compared where it was measured on the same machine."""
    values = {row.name: row.fact("device") for row in rows if row.results}
    if (odd := odd_ones(values)) is not None:
        text = f"Rows ran on different devices: images/s and seconds do not compare. {odd[0]}"
        yield Finding("environment", "note", text, odd[1])


def _words(value: object) -> str:
    """The settings of a value that are not at their default, in one line."""
    changed = value.model_dump(mode="json", exclude_defaults=True)  # type: ignore[attr-defined]
    return _flat(changed) or "none"


def _flat(changed: object) -> str:
    if not isinstance(changed, dict):
        return f"{changed}"
    return ", ".join(
        f"{key} ({_flat(value)})" if isinstance(value, dict) else f"{key} {value}" for key, value in changed.items()
    )
