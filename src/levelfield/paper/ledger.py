r"""Where every number of a paper comes from: in the LaTeX `\lffrom{n12}{93.17}`, in numbers.json what n12 is.

A key leads to what it is, the row, and the identities of the runs that it was computed from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from levelfield.tables.reproduce import without_data_place
from levelfield.tables.runs_of_row import Measured, Trained
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.text.latex_words import latex_with_breaks as latex

SHORT: Final = 12
"""Digits of an identity that stand beside a number; numbers.json has all of them."""
PROVIDE: Final = r"\providecommand{\lffrom}[2]{#2} % a number, and its key in numbers.json"


class Ledger:
    """The numbers of one paper, in the order in which they are set."""

    def __init__(self, table: StudyTable) -> None:
        self.table = table
        self.numbers: list[dict[str, Any]] = []
        self.runs = {name: described for row in table.rows for name, described in _runs_of(row)}
        whole = "\n".join(sorted(str(run["identity"]) for run in self.runs.values()))
        self.study_digest = hashlib.sha256(whole.encode()).hexdigest()

    def of(
        self,
        shown: str,
        what: str,
        rows: Iterable[TableRow] = (),
        value: Any = None,
        runs: Sequence[Measured] = (),
        own: bool = True,
    ) -> str:
        """`shown` as LaTeX under a new key. `what` it is, in words; of the runs of `rows`, of `runs`, or where neither
        is given of the whole table. `value`: the number itself, where `shown` is rounded. `own`: False for a figure
        that somebody else printed, which no run here gave."""
        key, rows = f"n{len(self.numbers) + 1}", list(rows)
        of_rows = [name for row in rows for name, _ in _runs_of(row)]
        sources = [identity(run)[:SHORT] for run in runs] or of_rows
        self.numbers.append(
            {
                "key": key,
                "shown": shown,
                "value": value,
                "what": what,
                "rows": [row.name for row in rows],
                "runs": (sources or list(self.runs)) if own else [],
            }
        )
        return rf"\lffrom{{{key}}}{{{latex(shown)}}}"

    def row_comment(self, row: TableRow) -> str:
        """A comment of LaTeX: the runs that the next lines' numbers of a row come from."""
        names = [name for name, _ in _runs_of(row)]
        return f"% {_one_line(row.name)}: {'runs ' + ', '.join(names) if names else 'no finished run'}"

    def study_comment(self) -> str:
        """A comment of LaTeX: the study that the next lines' numbers come from."""
        name = _one_line(self.table.study.name or "runs")
        return f"% {name}: {len(self.runs)} finished runs, digest {self.study_digest}"

    def as_json(self) -> dict[str, Any]:
        """The content of numbers.json."""
        study = self.table.study
        return {
            "study": {
                "name": study.name,
                "scale": study.scale,
                "command": without_data_place(study.command),
                "digest": self.study_digest,
                "digest_of": "SHA-256 over the sorted identities of all finished runs, a line each",
            },
            "runs": self.runs,
            "numbers": self.numbers,
        }


def identity(run: Measured) -> str:
    """A run's identity; of somebody else's predictions the SHA-256 of their file."""
    if isinstance(run, Trained):
        return run.folder.identity
    assert run.file is not None
    return hashlib.sha256(run.file.read_bytes()).hexdigest()


def _runs_of(row: TableRow) -> list[tuple[str, dict[str, Any]]]:
    """The finished runs of a row: the short identity, and what numbers.json says of the run."""
    found = []
    for run in row.runs.finished:
        whole = identity(run)
        place: Path | None = run.folder.path if run.folder is not None else run.file
        folder = "" if place is None else "/".join(place.parts[-2:])
        kind = "run" if isinstance(run, Trained) else "predictions of another program"
        found.append(
            (whole[:SHORT], {"identity": whole, "kind": kind, "row": row.name, "seed": run.seed, "place": folder})
        )
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())
