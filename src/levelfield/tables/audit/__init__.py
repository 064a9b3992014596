"""The fairness audit: everything in which the rows of a table differ, minus what their study declares to vary."""

from levelfield.tables.audit.checks import CHECKS
from levelfield.tables.audit.findings import AuditRow
from levelfield.tables.audit.report import AuditReport, audit

__all__ = ["CHECKS", "AuditReport", "AuditRow", "audit"]
