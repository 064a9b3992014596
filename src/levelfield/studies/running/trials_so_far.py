"""Trials of searches as their run folders tell: what came of each, which are due, and how much is left.

All follows from the folders, so that a search that was stopped goes on by being asked for again. A trial is due up to
its next rung once those before it there have been judged; rungs are `statistics.halving`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from levelfield.runs import RunFolder
from levelfield.statistics.halving import goes_on
from levelfield.studies.declared.planned_runs import PlannedRun
from levelfield.studies.results.run_folders import find, state_of
from levelfield.studies.running.search import Draw, Search
from levelfield.studies.running.until_decided import SWEPT
from levelfield.tables.outcomes import DIVERGED
from levelfield.tables.sweep import State, Trial


@dataclass(frozen=True)
class Due:
    """A trial that is to be trained on, up to the end of epoch `until` (None: to its own end)."""

    draw: Draw
    until: int | None

    @property
    def run(self) -> PlannedRun:
        return PlannedRun(self.draw.row, SWEPT)


@dataclass(frozen=True)
class Seen:
    """What a trial's run folder says: its lines of epochs, whether it is finished, and why it failed."""

    folder: RunFolder | None
    epochs: Mapping[int, Mapping[str, Any]]
    finished: bool
    why: str


class TrialsSoFar:
    """The trials in `folder`. `failures`: by a run's key why it failed in this process; `folders`: where runs that were
    begun in it are written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failures: dict[str, str] = {}
        self.folders: dict[str, RunFolder | None] = {}

    def left(self, search: Search) -> float:
        """How many whole trials of a search are still to be carried out, if no more of them are pruned."""
        trials, _ = self.judged(search)
        whole = search.first_draws()[0].row.spec.budget.epochs
        begun = sum(min(1.0, trial.epochs / whole) for trial in trials if trial.state == "open") if whole else 0.0
        return search.count - len(trials) + sum(trial.state == "open" for trial in trials) - begun

    def look(self, draw: Draw) -> Seen:
        """What there is of a trial. Failures of an earlier start are tried again, unless the loss itself was none."""
        run = PlannedRun(draw.row, SWEPT)
        if run.key not in self.folders:
            self.folders[run.key] = find(self.folder, run).folder
        folder = self.folders[run.key]
        why = self.failures.get(run.key, "")
        if folder is None or not folder.exists():
            return Seen(None, {}, False, why)
        state, said = state_of(folder)
        lines = {int(line["epoch"]): line for line in folder.metrics() if "val_top1" in line}
        return Seen(folder, lines, state == "finished", why or (said if DIVERGED in said else ""))

    def judged(self, search: Search) -> tuple[list[Trial], list[tuple[int, Due]]]:
        """What came of each trial so far, and which are due, by number."""
        trials: list[Trial] = []
        due: list[tuple[int, Due]] = []
        shown: list[list[float]] = [[] for _ in search.rungs]
        open_at = len(search.rungs)
        """The first rung that an earlier trial has not been judged at yet: those behind it are not judged there."""
        for number in range(search.count):
            draw = search.drawn(number, trials)
            if draw is None:
                break
            seen = self.look(draw)
            state, rung, until = _standing(search, seen, shown, open_at)
            if state == "open":
                open_at = min(open_at, rung)
                if until is not _WAITS:
                    due.append((number, Due(draw, until)))
            trials.append(self._trial(draw, seen, state))
        return trials, due

    def _trial(self, draw: Draw, seen: Seen, state: State) -> Trial:
        place = "" if seen.folder is None else seen.folder.path.relative_to(self.folder).as_posix()
        last = seen.epochs[max(seen.epochs)] if seen.epochs else {}
        score = float(last["val_top1"]) if last and state != "failed" else None
        why = seen.why if state == "failed" else ""
        images = sum(int(line["samples"]) for line in seen.epochs.values())
        length = (float(max(seen.epochs, default=0)), images, float(last.get("train_seconds", 0.0)))
        return Trial(draw.setting, score, state, why, place, *length)


_WAITS = -1
"""In place of an epoch: it is not due before those ahead of it are judged."""


def _standing(search: Search, seen: Seen, shown: list[list[float]], open_at: int) -> tuple[State, int, int | None]:
    """Where a trial stands: its state, the rung that it is before, and the epoch up to which it is due.

    `shown`: at each rung the scores of the trials before it, to which its own is added where it is judged.
    """
    for rung, epoch in enumerate(search.rungs):
        if epoch not in seen.epochs:
            if seen.finished or seen.why:
                return ("finished" if seen.finished else "failed"), rung, None
            return "open", rung, epoch
        if rung >= open_at:
            return "open", rung, _WAITS
        shown[rung].append(float(seen.epochs[epoch]["val_top1"]))
        if not goes_on(shown[rung], search.reduction):
            return "pruned", rung, None
    if seen.finished or seen.why:
        return ("finished" if seen.finished else "failed"), len(search.rungs), None
    return "open", len(search.rungs), None
