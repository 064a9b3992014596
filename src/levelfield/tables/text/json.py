"""The table as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from levelfield.statistics import verdict
from levelfield.tables.effects import effects_of
from levelfield.tables.scaling import as_json as scaling_as_json
from levelfield.tables.scaling import scaling_of
from levelfield.tables.suite import suite_of
from levelfield.tables.sweep import as_json
from levelfield.tables.table import StudyTable
from levelfield.tables.text.footnotes import footnotes
from levelfield.tables.text.records import records


def to_json(table: StudyTable) -> dict[str, Any]:
    """Plain JSON values: the study, the audit, the rows, and every pair of rows that was compared."""
    suite = suite_of(table)
    findings: Sequence[Any] = [asdict(finding) for finding in table.audit.findings]
    return {
        "study": table.study.name,
        "question": table.study.question,
        "scale": table.study.scale,
        "audit": {"verdict": table.audit.verdict, "findings": findings},
        "command": table.study.command,
        "margin": table.study.margin,
        "verdict_rule": table.study.verdict,
        "answer": table.study.answer,
        "rows": records(table),
        "pairs": [
            asdict(pair) | {"verdict": verdict(pair)}
            for comparison in table.panels.values()
            for pair in comparison.pairs
        ],
        "effects": [asdict(effects) for effects in effects_of(table)],
        "suite": None if suite is None else suite.as_json(),
        "scaling": [scaling_as_json(one) for one in scaling_of(table)],
        "sweeps": [as_json(sweep) for sweep in table.study.sweeps],
        "basis": footnotes(table),
    }


def to_json_text(table: StudyTable) -> str:
    return json.dumps(to_json(table), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
