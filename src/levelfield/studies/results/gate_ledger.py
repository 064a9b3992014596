"""The ledger of a gate: which candidates were tried, in which order, and what became of each; a line of JSON an event.

```
{"event": "begun", "number": 7, "baseline": id, "candidate": id, "names": [...], "by": 0.2, "most": 10, "level": 0.0009}
{"event": "decided", "number": 7, "verdict": "better", "why": ..., "looks": [...],
 "test": which images, "images": 10000, "scores": [...], "flips": 0.018}
```
Lines are only ever added, each whole, under a lock. A candidate takes its number, and with it its part of the chance of
a false claim, when it is begun; one that is never finished has spent it too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from levelfield.errors import UserError
from levelfield.statistics.gate import GateLook, level_of_candidate
from levelfield.statistics.variance import RowEvidence
from levelfield.system.files import open_descriptor
from levelfield.system.locks import lock

GateVerdict = Literal["better", "not better", "undecided"]


@dataclass(frozen=True)
class Asked:
    """The question of one gate: whether `candidate` gains more than `by` points on `baseline` (both by the identity of
    their training, whatever the seed)."""

    baseline: str
    candidate: str
    by: float


@dataclass(frozen=True)
class Outcome:
    """What came of a candidate. `test`, `evidence`: on which images it was tested, and what its runs showed there."""

    verdict: GateVerdict
    why: str
    looks: tuple[GateLook, ...]
    test: str = ""
    images: int = 0
    evidence: RowEvidence | None = None


@dataclass(frozen=True)
class Entry:
    """A candidate of a ledger; `outcome` is None while it is being tried, or was left."""

    number: int
    asked: Asked
    names: tuple[str, str]
    most: int
    level: float
    outcome: Outcome | None = field(default=None)


@dataclass(frozen=True)
class Ledger:
    """A ledger's file. Reading and writing raise UserError where it is damaged or cannot be written."""

    path: Path

    def entries(self) -> list[Entry]:
        """All candidates, in the order of their numbers."""
        try:
            return _entries(self.path.read_bytes(), self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(
                f"--ledger {self.path} cannot be read: {error.strerror}\nname a file, or a new one"
            ) from error

    def begin(self, asked: Asked, names: tuple[str, str], most: int) -> Entry:
        """The entry of this question: the one that is there, else the next number's, written down."""
        found: list[Entry] = []

        def line(entries: Sequence[Entry]) -> dict[str, Any] | None:
            there = next((one for one in entries if one.asked == asked), None)
            number = len(entries) + 1
            found.append(there or Entry(number, asked, names, most, level_of_candidate(number)))
            if there is not None:
                return None
            new = found[0]
            return {
                "event": "begun", "number": number, **asdict(asked), "names": list(names), "most": most,
                "level": new.level,
            }  # fmt: skip

        self._add(line)
        return found[0]

    def decide(self, entry: Entry, outcome: Outcome) -> None:
        """Write down what came of a candidate."""
        shown = outcome.evidence
        self._add(
            lambda entries: {
                "event": "decided", "number": entry.number, "verdict": outcome.verdict, "why": outcome.why,
                "looks": [asdict(look) for look in outcome.looks], "test": outcome.test, "images": outcome.images,
                "scores": None if shown is None else [float(score) for score in shown.scores],
                "flips": None if shown is None else shown.flips,
            }
        )  # fmt: skip

    def panel(self, test: str) -> list[RowEvidence]:
        """What the runs of earlier candidates showed on the test images `test`."""
        outcomes = (entry.outcome for entry in self.entries())
        return [one.evidence for one in outcomes if one is not None and one.evidence is not None and one.test == test]

    def _add(self, line: Callable[[Sequence[Entry]], dict[str, Any] | None]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = open_descriptor(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        except OSError as error:
            raise UserError(f"--ledger {self.path} cannot be written: {error.strerror}\nname another file") from error
        try:
            lock(descriptor, wait=True)  # freed with the descriptor, also when this process dies
            content = self.path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):  # the last writer was killed in the middle of a line
                os.ftruncate(descriptor, len(whole))
            added = line(_entries(whole, self.path))
            if added is not None:
                os.write(descriptor, (json.dumps(added, allow_nan=False) + "\n").encode())
                os.fsync(descriptor)
        except OSError as error:
            raise UserError(f"--ledger {self.path} cannot be written: {error.strerror}\nfree some space") from error
        finally:
            os.close(descriptor)


def _entries(content: bytes, path: Path) -> list[Entry]:
    found: dict[int, Entry] = {}
    for place, text in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        try:
            line = json.loads(text)
            number = int(line["number"])
            if line["event"] == "begun":
                asked = Asked(line["baseline"], line["candidate"], float(line["by"]))
                one, two = line["names"]
                found[number] = Entry(number, asked, (one, two), int(line["most"]), float(line["level"]))
            else:
                begun = found[number]
                found[number] = Entry(number, begun.asked, begun.names, begun.most, begun.level, _outcome(line))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"--ledger {path}, line {place}, cannot be read: {error!r}\n"
                "put back a copy: without it nobody knows what was spent"
            ) from None
    return [found[number] for number in sorted(found)]


def _outcome(line: dict[str, Any]) -> Outcome:
    evidence = None
    if line["scores"] is not None and line["flips"] is not None:
        evidence = RowEvidence(np.array(line["scores"], dtype=np.float64), float(line["flips"]))
    looks = tuple(GateLook(**look) for look in line["looks"])
    return Outcome(line["verdict"], line["why"], looks, line["test"], int(line["images"]), evidence)
