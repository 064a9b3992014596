"""The fairness audit: what differs between the rows of a table that should not, and what a reader must know."""

from levelfield.report.audit.report import CHECKS, AuditReport, audit
from levelfield.report.audit.values import AuditRow, Check, Finding

__all__ = ["CHECKS", "AuditReport", "AuditRow", "Check", "Finding", "audit"]
