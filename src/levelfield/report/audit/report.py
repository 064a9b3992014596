"""All checks, applied to the rows that are compared with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from levelfield.report.audit import data, length, training
from levelfield.report.audit.values import AuditRow, Check, Finding

CHECKS: Final = (
    Check("budget", "declared length of training", length.budget),
    Check("steps", "optimiser steps and batch size", length.steps),
    Check("samples", "training images seen", length.samples),
    Check("pretraining", "the weights that rows start from", length.pretraining),
    Check("data", "same data, number and size of images", data.same_data),
    Check("validation_split", "validation split", data.validation_split),
    Check("selection", "stopping and selection rule", training.selection),
    Check("stopping", "limits in time", length.stopping),
    Check("warmup", "warm-up", training.warmup),
    Check("precision", "mixed precision", training.precision),
    Check("untrained", "parameters that were never trained", training.untrained),
    Check("cut_short", "runs cut short", length.cut_short),
    Check("selected_on_test", "test set used for selection", data.selected_on_test),
    Check("validation_transform", "training augmentation on validation", data.validation_transform),
    Check("smoothing", "smoothing declared but not applied", training.smoothing),
    Check("leaks", "data leaks", data.leaks),
    Check("seeds", "equal seeds, more than one", length.seeds),
    Check("mixed_science", "one setting per row", length.mixed_science),
    Check("recipe", "everything else in the recipe", training.recipe),
    Check("environment", "one machine", training.environment),
)


@dataclass(frozen=True)
class AuditReport:
    """`findings`: unfair ones first. `passed`: the questions of the checks that found nothing."""

    findings: tuple[Finding, ...]
    passed: tuple[str, ...]

    @property
    def unfair(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "unfair"]

    @property
    def notes(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "note"]

    @property
    def verdict(self) -> str:
        """One sentence to stand above the table."""
        if self.unfair:
            things = "thing makes" if len(self.unfair) == 1 else "things make"
            return f"{len(self.unfair)} {things} this comparison unfair; see below before trusting a difference."
        notes = f"; {len(self.notes)} {'note' if len(self.notes) == 1 else 'notes'}" if self.notes else ""
        return f"No unfairness found by {len(CHECKS)} checks{notes}."


def audit(rows: Sequence[AuditRow], data_notes: Mapping[str, Sequence[str]] | None = None) -> AuditReport:
    """Audit the rows, those of each panel among themselves. `data_notes`: what is known of a data set, by its name."""
    lengths = {row.name: length.budget_in_words(row.spec.budget) for row in rows if row.spec is not None}
    panels: dict[str, list[AuditRow]] = {}
    for row in rows:
        facts = dict(row.facts)
        if row.start_row in lengths:
            facts.setdefault("pretraining_budget", lengths[row.start_row])
        known = AuditRow(row.name, row.panel, row.specs, row.results, row.unfinished, row.start_row, facts)
        panels.setdefault(row.panel, []).append(known)

    findings: list[Finding] = []
    for panel, members in panels.items():
        found = [finding for check in CHECKS for finding in check.find(members)]
        found += data.noted(members, data_notes or {})
        where = f"{panel}: " if len(panels) > 1 and panel else ""
        findings += [Finding(f.check, f.severity, where + f.text, f.rows) for f in found]
    findings.sort(key=lambda finding: finding.severity != "unfair")
    hit = {finding.check for finding in findings}
    return AuditReport(tuple(findings), tuple(check.question for check in CHECKS if check.key not in hit))
