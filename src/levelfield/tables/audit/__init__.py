"""The fairness audit: everything in which the rows of a table differ, minus what their study declares to vary."""

from levelfield.tables.audit.checks import CHECKS, AuditReport, audit
from levelfield.tables.audit.findings import AuditRow, Check, Finding, Panel

__all__ = ["CHECKS", "AuditReport", "AuditRow", "Check", "Finding", "Panel", "audit"]
