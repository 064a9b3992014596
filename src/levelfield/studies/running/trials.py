"""Trials of several searches carried out, on any executor: which are due, which are pruned, what came of each.

All that is decided follows from the trials' run folders, so that a search that was stopped goes on by being asked for
again. A trial is due up to its next rung once those before it there have been judged; rungs are `statistics.halving`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import RunFolder
from levelfield.statistics.halving import goes_on
from levelfield.studies.declared.planned_runs import PlannedRun
from levelfield.studies.results.run_folders import find, run_folder, state_of
from levelfield.studies.running.executor import Executor
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


class Trials:
    """The trials of `searches` in `folder`, carried out by `executor`; `changed` is called whenever one has ended."""

    def __init__(
        self, searches: Sequence[Search], folder: Path, executor: Executor, progress: Progress,
        changed: Callable[[], None],
    ) -> None:  # fmt: skip
        self.searches, self.folder, self.executor = searches, folder, executor
        self.progress, self.changed = progress, changed
        self.failures: dict[str, str] = {}
        self._folders: dict[str, RunFolder | None] = {}
        self._active: dict[Future[float], tuple[Due, Progress]] = {}

    def carry_out(self) -> None:
        """Until nothing is due; where that is cut short, what runs writes a checkpoint."""
        self.progress.start(sum(search.count for search in self.searches), "sweep")
        try:
            while self._begin() or self._active:
                self._collect()
        finally:
            self.executor.close()
        self.progress.finish()

    def of(self, search: Search) -> list[Trial]:
        """The trials of a search as they stand, those that cannot be drawn yet left out."""
        return self._judged(search)[0]

    def _begin(self) -> bool:
        """Begin what is due while the executor takes more, low numbers of all rows first; whether anything is."""
        due = [self._judged(search)[1] for search in self.searches]
        ordered = [one for _, one in sorted(((n, one) for each in due for n, one in each), key=lambda pair: pair[0])]
        under_way = {one.run.key for one, _ in self._active.values()}
        begun = False
        for one in ordered:
            if one.run.key in under_way:
                continue
            if len(self._active) >= self.executor.slots:
                break
            inner = self.progress.inside(self._share(one))
            begun = True
            try:
                resolved = self.executor.resolve(one.run.spec.changed({"execution.stop_after_epochs": one.until}))
                place = run_folder(self.folder, one.run, resolved.identity())
                self._folders[one.run.key] = RunFolder(place)
                self._active[self.executor.submit(resolved, place, inner)] = (one, inner)
            except UserError as error:
                self._failed(one, inner, str(error))
        return begun

    def _collect(self) -> None:
        """Take in at least one trial that has ended or come to its rung."""
        if self._active:
            ended, _ = wait(self._active, return_when=FIRST_COMPLETED)
            for future in ended:
                one, inner = self._active.pop(future)
                error = future.exception()
                if error is not None and not self._at_rung(one):
                    self._failed(one, inner, str(error) if isinstance(error, UserError) else repr(error))
                inner.finish()
        self.changed()

    def _at_rung(self, one: Due) -> bool:
        return one.until is not None and one.until in self._look(one.draw).epochs

    def _failed(self, one: Due, inner: Progress, why: str) -> None:
        self.failures[one.run.key] = why = why.splitlines()[0]
        inner.note(f"{one.draw.row.name} failed: {why}")
        inner.finish()

    def _share(self, one: Due) -> float:
        """Part of a whole trial that is left of this one, up to where it is due."""
        whole = one.run.spec.budget.epochs
        if whole is None:
            return 1.0
        done = len(self._look(one.draw).epochs)
        return max(0.0, min(one.until or whole, whole) - done) / whole

    def _look(self, draw: Draw) -> Seen:
        """What there is of a trial. Failures of an earlier start are tried again, unless the loss itself was none."""
        run = PlannedRun(draw.row, SWEPT)
        if run.key not in self._folders:
            self._folders[run.key] = find(self.folder, run).folder
        folder = self._folders[run.key]
        why = self.failures.get(run.key, "")
        if folder is None or not folder.exists():
            return Seen(None, {}, False, why)
        state, said = state_of(folder)
        lines = {int(line["epoch"]): line for line in folder.metrics() if "val_top1" in line}
        return Seen(folder, lines, state == "finished", why or (said if DIVERGED in said else ""))

    def _judged(self, search: Search) -> tuple[list[Trial], list[tuple[int, Due]]]:
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
            seen = self._look(draw)
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
