"""The audit: all checks, applied to the rows that are compared with each other.

It compares everything that the runs' folders hold, minus what the study declares that it varies; whatever is left over
is a finding. It reads files, never what somebody says of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from levelfield.spec import VARIES
from levelfield.tables.audit.checks import CHECKS
from levelfield.tables.audit.checks.tested_images import tested_on
from levelfield.tables.audit.findings import SEVERITIES, AuditRow, Finding, Panel
from levelfield.tables.lists_in_words import counted, listed


@dataclass(frozen=True)
class AuditReport:
    """`findings` in the order of their severity: unfair, differs, declared, unchecked, passed."""

    findings: tuple[Finding, ...]

    def of(self, severity: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == severity]

    @property
    def unfair(self) -> list[Finding]:
        return self.of("unfair")

    @property
    def verdict(self) -> str:
        """One sentence to stand above the table."""
        unfair, differs, unchecked = (len(self.of(kind)) for kind in ("unfair", "differs", "unchecked"))
        rest = [f"{counted(differs, 'difference')} to mention"] if differs else []
        rest += [f"{counted(unchecked, 'thing')} not checked"] if unchecked else []
        more = f"; {' and '.join(rest)}" if rest else ""
        if unfair:
            makes = "thing makes" if unfair == 1 else "things make"
            return f"{unfair} {makes} this comparison unfair{more}; see below before trusting a difference."
        if not self.of("passed"):
            return "Nothing has been measured, so nothing was checked."
        return f"No unfairness found in what was checked{more}."


def audit(
    rows: Sequence[AuditRow],
    varies: Sequence[str] | None = None,
    folder: Path | None = None,
    data_dir: str | None = None,
) -> AuditReport:
    """Audit the rows, those of each panel among themselves.

    `varies`: what the study's question is about (`levelfield.spec.varied_keys`); None: it declares nothing.
    `folder`: where the study is kept, `data_dir`: where its data may be; both may be absent, and what
    needs them is then not checked.
    """
    keys = VARIES if varies is None else tuple(varies)
    panels: dict[str, list[AuditRow]] = defaultdict(list)
    for row in rows:
        panels[row.panel].append(row)
    found: dict[tuple[str, str], list[tuple[str, Finding]]] = defaultdict(list)
    compared = {name: members for name, members in panels.items() if any(row.runs.finished for row in members)}
    for name, members in panels.items():
        panel = Panel(tuple(members), keys, varies is not None, folder, data_dir)
        for finding in chain.from_iterable(check(panel) for check in CHECKS.values()):
            found[finding.severity, finding.text].append((name, finding))
    findings = [_of_panels(each, len(compared)) for each in found.values()]
    findings += tested_on(Panel(tuple(rows), keys))
    order = {key: number for number, key in enumerate(CHECKS)}
    findings.sort(key=lambda finding: (SEVERITIES.index(finding.severity), order.get(finding.check, len(order))))
    return AuditReport(tuple(findings))


def _of_panels(found: Sequence[tuple[str, Finding]], panels: int) -> Finding:
    """What was found alike in some panels, once; named after them unless it holds in all."""
    finding = found[0][1]
    names = list(dict.fromkeys(name for name, _ in found if name))
    rows = tuple(dict.fromkeys(row for _, each in found for row in each.rows))
    named = finding.check in ("leaks", "data")
    where = f"{listed(names)}: " if names and len(names) < panels and not named else ""
    return replace(finding, text=where + finding.text, rows=rows)
