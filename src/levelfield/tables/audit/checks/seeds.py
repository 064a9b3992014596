"""Which seeds rows have: one alone shows no spread."""

from __future__ import annotations

from collections.abc import Iterable

from levelfield.tables.audit.findings import Finding, Panel, differing
from levelfield.tables.lists_in_words import listed


def seeds(panel: Panel) -> Iterable[Finding]:
    """Rows may have other seeds than each other, or more, as their runs are draws; those that share what they start
    from are compared over the seeds that they have in common."""
    values = {row.name: "seeds " + ", ".join(str(run.seed) for run in row.own) for row in panel.measured if row.own}
    yield from differing("seeds", "differs", "The set of seeds differs", values)
    single = tuple(row.name for row in panel.measured if len(row.runs.finished) == 1)
    if single:
        text = f"Rows with one run show nothing of their own spread over seeds: {listed(single)}."
        yield Finding("seeds", "differs", text, single)
    elif len(values) > 1 and len(set(values.values())) == 1:
        yield Finding("seeds", "passed", f"{panel.every} has the same {next(iter(values.values()))}")
