"""What the audit reads and what it says, and how it finds the rows that differ from the rest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from levelfield.spec import RunSpec


@dataclass(frozen=True)
class AuditRow:
    """A row as the audit sees it. `specs`: its runs' (or declared) settings, `results`: their result.json.

    `panel`: rows of one panel are compared with each other. `start_row`: the row whose weights it starts from.
    `facts`, for what no RunSpec says: `selected_on` ("test" or "validation"), `validation_transform` ("training" or
    "evaluation"), `train_test_duplicates` (images), `smoothing_applied` (the label smoothing that reached the loss),
    `setting_unknown` (true where the author does not state it). Results may hold the same keys.
    """

    name: str
    panel: str = ""
    specs: tuple[RunSpec, ...] = ()
    results: tuple[Mapping[str, Any], ...] = ()
    unfinished: tuple[str, ...] = ()
    start_row: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> RunSpec | None:
        return self.specs[0] if self.specs else None

    def fact(self, key: str) -> Any:
        """The first of facts and results that knows `key`, else None."""
        return next((source[key] for source in (self.facts, *self.results) if source.get(key) is not None), None)


@dataclass(frozen=True)
class Finding:
    """`severity`: "unfair" where the comparison favours some row or a score is not what it seems; "note" otherwise."""

    check: str
    severity: Literal["unfair", "note"]
    text: str
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One kind of unfairness: its key, what is asked, and the function that finds it among the rows of one panel."""

    key: str
    question: str
    find: Callable[[Sequence[AuditRow]], Iterable[Finding]]


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in words: "a, b and c", cut after `most`."""
    if len(names) > most:
        return ", ".join(names[:most]) + f" and {len(names) - most} more"
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def odd_ones(values: Mapping[str, Any], say: Callable[[Any], str] = str) -> tuple[str, tuple[str, ...]] | None:
    """Where the values of rows differ: who has what, the minority first, and the rows that differ from the majority.

    None where all are equal. Rows without a value (None) are left out.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for row, value in values.items():
        if value is not None:
            groups[say(value)].append(row)
    if len(groups) < 2:
        return None
    counted = Counter({value: len(rows) for value, rows in groups.items()})
    (most, share), *_ = counted.most_common()
    clear = list(counted.values()).count(share) == 1 and share > 1
    minority = [value for value in sorted(groups, key=lambda v: len(groups[v])) if not clear or value != most]
    said = "; ".join(f"{listed(groups[value])}: {value}" for value in minority)
    odd = tuple(row for value in minority for row in groups[value])
    return (said + f"; the other {share}: {most}" if clear else said), odd


def differing(
    check: str, rows: Sequence[AuditRow], read: Callable[[RunSpec], Any], what: str,
    severity: Literal["unfair", "note"] = "unfair", say: Callable[[Any], str] = str,
) -> Iterable[Finding]:  # fmt: skip
    """A finding where `read` of the rows' settings differs, worded "`what` differs: ..."."""
    values = {row.name: read(row.spec) for row in rows if row.spec is not None}
    if (odd := odd_ones(values, say)) is not None:
        yield Finding(check, severity, f"{what} differs. {odd[0]}", odd[1])
