"""Trials of several searches carried out, on any executor, as they become due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import RunFolder
from levelfield.studies.results.run_folders import run_folder
from levelfield.studies.running.executor import Executor
from levelfield.studies.running.search import Search
from levelfield.studies.running.trials_so_far import Due, TrialsSoFar
from levelfield.tables.sweep import Trial


class Trials:
    """The trials of `searches` in `folder`, carried out by `executor`; `changed` is called whenever one has ended."""

    def __init__(
        self, searches: Sequence[Search], folder: Path, executor: Executor, progress: Progress,
        changed: Callable[[], object],
    ) -> None:  # fmt: skip
        self.searches, self.folder, self.executor = searches, folder, executor
        self.progress, self.changed = progress, changed
        self.so_far = TrialsSoFar(folder)
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
        return self.so_far.judged(search)[0]

    def _begin(self) -> bool:
        """Begin what is due while the executor takes more, low numbers of all rows first; whether anything is."""
        due = [self.so_far.judged(search)[1] for search in self.searches]
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
                self.so_far.folders[one.run.key] = RunFolder(place)
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
        return one.until is not None and one.until in self.so_far.look(one.draw).epochs

    def _failed(self, one: Due, inner: Progress, why: str) -> None:
        self.so_far.failures[one.run.key] = why = why.splitlines()[0]
        inner.note(f"{one.draw.row.name} failed: {why}")
        inner.finish()

    def _share(self, one: Due) -> float:
        """Part of a whole trial that is left of this one, up to where it is due."""
        whole = one.run.spec.budget.epochs
        if whole is None:
            return 1.0
        done = len(self.so_far.look(one.draw).epochs)
        return max(0.0, min(one.until or whole, whole) - done) / whole
