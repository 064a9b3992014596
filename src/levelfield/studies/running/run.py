"""Carry a study out: train what is missing, go on where it stopped, keep failures as rows that say why."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import FolderLock
from levelfield.spec import StartFrom
from levelfield.studies.declared.plan import PlannedRun
from levelfield.studies.results.outputs import read_failures, study_rows, write_outputs, write_study
from levelfield.studies.results.request import settle_to_train, with_seeds
from levelfield.studies.results.run_folders import Found, default_folder, find, find_all, run_folder
from levelfield.studies.running.local import Executor, InProcess, Processes

if TYPE_CHECKING:
    from levelfield.studies.declared.study import Changes, Study
    from levelfield.tables.rows import StudyRows
    from levelfield.tables.table import StudyTable


@dataclass(frozen=True)
class Task:
    """A run that is still to be done; `expected_s` weighs it in the time left."""

    run: PlannedRun
    expected_s: float


def run_study(
    study: Study,
    out_dir: str | Path | None = None,
    *,
    scale: str | None = None,
    seeds: Iterable[int] | None = None,
    overrides: Sequence[str] | None = None,
    plugins: Sequence[str] | None = None,
    data_dir: str | None = None,
    only: Sequence[str] = (),
    tuned: Mapping[str, Changes] | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
    parallel: int = 1,
    expected_s: dict[str, float] | None = None,
    may_begin: Callable[[PlannedRun], bool] | None = None,
    page: bool = True,
) -> StudyTable:
    """Train the runs of `study` that `out_dir` lacks, write the table's files there, return the table.

    Args:
        out_dir: default runs/NAME, or runs/NAME-SCALE.
        scale: None: that of the folder, else `full`.
        seeds: instead of the file's. The table has all that were ever trained.
        overrides: `--set` assignments for every row. A folder that was run with some takes no run that says nothing
            (None) of them; [] takes the study as its file has it. plugins: Python files that register models; likewise.
        data_dir: folder of the data sets; None: the folder's last, else what the environment says.
        only: train the rows that match one of these patterns; the table still has all rows.
        tuned: settings of rows whose own is unknown, instead of what a sweep in `out_dir` found.
        progress: where to show it; None: nowhere.
        executor: where the runs are carried out; None: here, `parallel` at once.
        expected_s: seconds that a run of each row is expected to take (only their ratios count).
        may_begin: asked just before a run begins; one that may not is left for another time, and is no failure.
        page: write report.html too (it needs altair and vl-convert).

    Raises UserError for a study that cannot be planned, for a folder that holds another study, another scale or unsaid
    changes, or that another process writes to, and where not a single run could be begun. A run that fails later is
    kept as a row that says why, and the others go on.
    """
    out = Path(out_dir) if out_dir is not None else default_folder(study.name, scale or "full")
    given = {"scale": scale, "overrides": overrides, "plugins": plugins, "data_dir": data_dir}
    settle_to_train(study, out, **given)
    shown = progress or Progress(shown=False)
    with FolderLock(out), shown, _terminated_as_interrupted():
        begun = (out / "study.json").is_file()
        asked = settle_to_train(study, out, **given)  # again: nobody else writes to the folder now
        wanted = None if seeds is None else tuple(seeds)
        runs = asked.runs(study, out, wanted or asked.usual, only, tuned)
        if wanted is not None:
            asked = with_seeds(asked, dict.fromkeys(run.row.name for run in runs), wanted, begun)
        found = find_all(out, runs)
        done = {one.run.key for one in found if one.state == "finished"}
        kept = read_failures(out, asked.rows(study, out, tuned=tuned))
        failures = {key: why for key, why in kept.items() if key not in done}

        def save() -> StudyRows:
            table = study_rows(study, asked, out, failures, tuned)
            write_study(table, asked, out)
            return table

        save()
        missing = [one.run for one in found if one.state != "finished"]
        if missing:
            weights = expected_s or {}
            usual = sum(weights.values()) / len(weights) if weights else 1.0
            tasks = [Task(run, weights.get(run.row.home, usual)) for run in _once(missing)]
            runner = executor or (InProcess() if parallel == 1 else Processes(parallel))
            shown.start(sum(task.expected_s for task in tasks), study.name)
            try:
                _Session(out, failures, runner, shown, save, may_begin or _always).carry_out(tasks)
            finally:
                runner.close()
                save()
            shown.finish()
        return write_outputs(save(), out, asked.data_dir, page=page)


class _Session:
    """One call's work: which runs wait, which are being trained, what failed."""

    def __init__(
        self, out: Path, failures: dict[str, str], executor: Executor, progress: Progress,
        save: Callable[[], object], may_begin: Callable[[PlannedRun], bool],
    ) -> None:  # fmt: skip
        self.out, self.failures = out, failures
        self.executor, self.progress, self.save, self.may_begin = executor, progress, save, may_begin
        self.active: dict[Future[float], tuple[Task, Progress]] = {}
        self.begun = 0
        self.took_s: dict[str, list[float]] = {}
        self.expected_s = 0.0

    def carry_out(self, tasks: list[Task]) -> None:
        waiting = list(tasks)
        first_error: Exception | None = None
        while waiting or self.active:
            for task in list(waiting):
                if len(self.active) >= self.executor.slots:
                    break
                before = self._before(task, waiting)
                if before == "later":
                    continue
                waiting.remove(task)
                if not self.may_begin(task.run):
                    continue
                inner = self.progress.inside(self._weight(task))
                try:
                    self._submit(task, inner, before)
                except UserError as error:
                    first_error = first_error or error
                    self._failed(task, inner, error)
            if self.active:
                self._collect()
                remaining = sum(self._weight(task) for task in waiting)
                remaining += sum(self._weight(task) for task, _ in self.active.values())
                done = sum(sum(each) for each in self.took_s.values())
                if done:
                    self.progress.adjust(done, done + remaining)
        if first_error is not None and self.begun == 0:
            raise first_error

    def _weight(self, task: Task) -> float:
        """Expected seconds of a run: what the row's runs took, else its estimate, corrected as the others' were."""
        took = self.took_s.get(task.run.row.home)
        if took:
            return sum(took) / len(took)
        done = sum(sum(each) for each in self.took_s.values())
        return task.expected_s * (done / self.expected_s if done else 1.0)

    def _before(self, task: Task, waiting: Sequence[Task]) -> Found | str | None:
        """What the run whose weights this one starts from came to: None without one, `later` while it is not done."""
        first = task.run.row.first
        if first is None:
            return None
        unfinished = [other.run for other in waiting] + [other.run for other, _ in self.active.values()]
        if any(other.row.home == first.home and other.seed == task.run.seed for other in unfinished):
            return "later"
        return find(self.out, PlannedRun(first, task.run.seed))

    def _submit(self, task: Task, progress: Progress, before: Found | str | None) -> None:
        spec = task.run.spec
        if isinstance(before, Found):
            if before.state != "finished" or before.folder is None:
                raise UserError(f"row {task.run.row.after}, whose weights it starts from, has no finished run")
            start = StartFrom(source=str(before.folder.path))
            spec = spec.model_copy(update={"model": spec.model.model_copy(update={"start_from": start})})
        resolved = self.executor.resolve(spec)
        folder = run_folder(self.out, task.run, resolved.identity())
        self.failures.pop(task.run.key, None)
        self.begun += 1
        self.active[self.executor.submit(resolved, folder, progress)] = (task, progress)

    def _collect(self) -> None:
        """Take in at least one run that has ended."""
        ended, _ = wait(self.active, return_when=FIRST_COMPLETED)
        for future in ended:
            task, progress = self.active.pop(future)
            if (error := future.exception()) is not None:
                self._failed(task, progress, error)
            else:
                self.took_s.setdefault(task.run.row.home, []).append(future.result())
                self.expected_s += task.expected_s
            progress.finish()
        self.save()

    def _failed(self, task: Task, progress: Progress, error: BaseException) -> None:
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        self.failures[task.run.key] = reason
        progress.note(f"{task.run.name} failed: {reason}")
        progress.finish()


def _always(run: PlannedRun) -> bool:
    return True


def _once(runs: Iterable[PlannedRun]) -> Iterator[PlannedRun]:
    """Runs that several rows share, once."""
    seen = set()
    for run in runs:
        if (run.row.home, run.seed) not in seen:
            seen.add((run.row.home, run.seed))
            yield run


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends a study as Ctrl-C does: runs write a checkpoint, the table's file is brought up to date."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)
