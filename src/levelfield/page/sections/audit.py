"""What the fairness audit found."""

from __future__ import annotations

from levelfield.page.markup import bullets, folded, paragraph
from levelfield.page.section import Section
from levelfield.tables.table import StudyTable


def audit(table: StudyTable) -> Section:
    report = table.audit
    parts = [paragraph(report.verdict)]
    if report.unfair:
        parts.append(bullets(finding.text for finding in report.unfair))
    parts += [paragraph(finding.text) for finding in report.of("declared")]
    for kind, title in (
        ("differs", "to mention"),
        ("unchecked", "not checked"),
        ("passed", "looked at and found fair"),
    ):
        if found := report.of(kind):
            parts.append(folded(f"{len(found)} {title}", bullets(finding.text for finding in found)))
    return Section("audit", "Fairness audit", "".join(parts), style="audit unfair" if report.unfair else "audit")
