"""What the audit reads and what it says, and how it finds the rows that differ from the rest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from levelfield.spec import VARIES, RunSpec
from levelfield.tables.audit.compare_values import Contrast
from levelfield.tables.audit.prediction_summary import Tested, read_tested
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.runs_of_row import Measured, RowRuns, Trained

Severity = Literal["unfair", "differs", "declared", "unchecked", "passed"]
"""unfair: the comparison favours some row, or a score is not what it seems. differs: no reason to doubt the ranking,
but to be mentioned. declared: differs, as the study's question wants it. unchecked: could not be looked at. passed:
looked at, nothing found."""
SEVERITIES: Final[tuple[Severity, ...]] = ("unfair", "differs", "declared", "unchecked", "passed")
GROUPS: Final = 5
"""Groups of rows named in one finding; the rest are counted."""


@dataclass(frozen=True)
class AuditRow:
    """A row as the audit sees it: its runs as they lie in their folders, and the test set that it is compared on."""

    runs: RowRuns
    panel: str = ""

    @property
    def name(self) -> str:
        return self.runs.row.title

    @property
    def own(self) -> tuple[Trained, ...]:
        """The finished runs that levelfield trained: all but somebody else's predictions."""
        return tuple(run for run in self.runs.finished if isinstance(run, Trained))

    @property
    def foreign(self) -> tuple[Measured, ...]:
        """The finished runs that are somebody else's predictions."""
        return tuple(run for run in self.runs.finished if not isinstance(run, Trained))

    @property
    def spec(self) -> RunSpec | None:
        """The resolved setting of the first finished run; None where none finished."""
        return self.own[0].spec if self.own else None

    @cached_property
    def tested(self) -> tuple[tuple[Measured, Tested | None], ...]:
        """Every finished run with what its predictions say; None where it has none."""
        return tuple((run, read_tested(run)) for run in self.runs.finished)

    def results(self, key: str) -> list[Any]:
        """What the finished runs' result.json says under `key`, where it says it."""
        return [run.result[key] for run in self.runs.finished if run.result.get(key) is not None]


@dataclass(frozen=True)
class Panel:
    """Rows that are compared with each other. `varies`: what their study declares to vary (`declares`; else the keys
    that stand where none does); `folder`: where it is kept, `data_dir`: where its data may be."""

    rows: tuple[AuditRow, ...]
    varies: tuple[str, ...] = VARIES
    declares: bool = True
    folder: Path | None = None
    data_dir: str | None = None

    @property
    def measured(self) -> tuple[AuditRow, ...]:
        """The rows with a result: only they are compared."""
        return tuple(row for row in self.rows if row.runs.finished)

    @property
    def own(self) -> tuple[tuple[AuditRow, Trained], ...]:
        """All finished runs that levelfield trained, each with its row."""
        return tuple((row, run) for row in self.measured for run in row.own)

    @property
    def specs(self) -> dict[str, RunSpec]:
        """By row, the setting of its first run; without those that are somebody else's predictions."""
        return {row.name: row.spec for row in self.measured if row.spec is not None}

    @property
    def every(self) -> str:
        """How a statement that holds of all settings begins: nothing is known of those of somebody else's rows."""
        return "every row that was trained here" if any(row.foreign for row in self.measured) else "every row"


@dataclass(frozen=True)
class Finding:
    """What one check has to say, of which rows."""

    check: str
    severity: Severity
    text: str
    rows: tuple[str, ...] = ()


Check = Callable[[Panel], Iterable[Finding]]
"""Says of everything that it looked at "passed", and of what it could not look at "unchecked"."""


def odd_ones(values: Mapping[str, str]) -> tuple[str, tuple[str, ...]] | None:
    """Where the values of rows differ: who has what, the minority first, and the rows that differ from the majority.

    None where all are equal.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for row, value in values.items():
        groups[value].append(row)
    if len(groups) < 2:
        return None
    sizes = Counter(values.values())
    (most, share), *_ = sizes.most_common()
    clear = list(sizes.values()).count(share) == 1 and share > 1
    minority = [value for value in sorted(groups, key=lambda v: len(groups[v])) if not clear or value != most]
    said = "; ".join(f"{listed(groups[value])}: {value}" for value in minority[:GROUPS])
    said += f"; and {counted(len(minority) - GROUPS, 'other value')}" if len(minority) > GROUPS else ""
    odd = tuple(row for value in minority for row in groups[value])
    return (said + f"; the other {share}: {most}" if clear else said), odd


def differing(
    check: str, severity: Severity, what: str, values: Mapping[str, str], more: str = ""
) -> Iterator[Finding]:
    """A finding where the rows' values differ: `what`, who has which value, and `more`."""
    if (odd := odd_ones(values)) is not None:
        yield Finding(check, severity, f"{what}. {odd[0]}.{more}", odd[1])


def differing_keys(
    check: str, severity: Severity, found: Contrast, called: Callable[[str], tuple[str, str]], shown: int
) -> Iterator[Finding]:
    """A finding for each part of what was compared and each way in which the rows fall apart there.

    `called`: what a key's part is called, and the key within it; `shown`: keys with their values, more are named.
    """
    grouped: dict[tuple[str, tuple[int, ...]], list[str]] = defaultdict(list)
    for key, values in found.items():
        numbers = {said: number for number, said in enumerate(dict.fromkeys(values.values()))}
        grouped[called(key)[0], tuple(numbers[said] for said in values.values())].append(key)
    for (part, _), keys in grouped.items():
        said = found[keys[0]]
        if len(keys) > 1:
            said = {row: ", ".join(f"{called(key)[1]} {found[key][row]}" for key in keys[:shown]) for row in said}
        more = f" They differ in {listed(keys[shown:], 8)} too." if len(keys) > shown else ""
        yield from differing(check, severity, f"{part} differs ({listed(keys[:shown], shown)})", said, more)
