"""Carry a study out: train what is missing, go on where it stopped, keep failures as rows that say why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from levelfield.errors import UserError
from levelfield.notebook import in_notebook
from levelfield.progress import Progress
from levelfield.runs import FolderLock, at_commit
from levelfield.spec.weights_taken import START
from levelfield.studies.declared.planned_runs import PlannedRun, runs_of
from levelfield.studies.declared.study import Changes, StudySpec
from levelfield.studies.results.looks_at_table import further_look, table_before
from levelfield.studies.results.run_folders import Found, default_folder, find, find_all, run_folder
from levelfield.studies.results.study_json import read_failures, write_study
from levelfield.studies.results.study_request import StudyOptions, StudyRequest, judged, settle_to_train, with_seeds
from levelfield.studies.results.study_rows import study_rows
from levelfield.studies.results.write_outputs import write_outputs
from levelfield.studies.running.executor import Executor
from levelfield.studies.running.in_process import InProcess
from levelfield.studies.running.processes import Processes
from levelfield.studies.running.terminated_as_interrupted import terminated_as_interrupted
from levelfield.studies.running.until_decided import Rounds, UntilDecided, check_free, joined_seeds, with_first_stages
from levelfield.tables.rows import StudyRows
from levelfield.tables.users_table import UsersTable


def run(
    study: StudySpec,
    out_dir: str | Path | None = None,
    *,
    scale: str | None = None,
    overrides: Sequence[str] | None = None,
    plugins: Sequence[str] | None = None,
    data_dir: str | None = None,
    seeds: Iterable[int] | None = None,
    only: Sequence[str] = (),
    tuned: Mapping[str, Changes] | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
    parallel: int = 1,
    expected_s: Mapping[str, float] | None = None,
    may_begin: Callable[[PlannedRun], bool] | None = None,
    page: bool = True,
    until: UntilDecided | None = None,
    margin: float | None = None,
    verdict: str | None = None,
) -> UsersTable:
    """Train the runs of `study` that `out_dir` lacks, write the table's files there, return the table.

    Args:
        out_dir: default runs/NAME, or runs/NAME-SCALE. scale: None: that of the folder, else `full`.
        overrides: `--set` assignments for every row. A folder that was run with some takes no run that says nothing
            (None) of them; [] takes the study as its file has it. plugins: Python files that register models; likewise.
        data_dir: folder of the data sets; None: the folder's last, else what the environment says.
        seeds: instead of the file's. The table has all that were ever trained.
        only: train the rows that match one of these patterns; the table still has all rows.
        tuned: settings of rows whose own is unknown, instead of what a sweep in `out_dir` found.
        progress: None: shown in a notebook only. executor: where runs are carried out; None: here, `parallel` at once.
        expected_s: seconds that a run of each row is expected to take (only their ratios count).
        may_begin: asked just before a run begins; one that may not is left for another time, and is no failure.
        page: write report.html too (it needs altair and vl-convert).
        until: instead of seeds and only: rounds of seeds for the rows of which the study's question is still open.
        margin, verdict: by which rule the table is decided (`build_table`); None: as last said of the folder.

    Raises UserError for a study that cannot be planned, for a folder that holds another study, another scale or
    unsaid changes, or that another process writes to, and where not a single run could be begun. A run that fails
    later is kept as a row that says why, and the others go on.
    """
    said = StudyOptions(scale, overrides, plugins, data_dir)
    out = Path(out_dir) if out_dir is not None else default_folder(study.name, scale or "full")
    judged(settle_to_train(study, out, said), out, margin, verdict)
    check_free(until, seeds, only)
    shown = progress or Progress(shown=in_notebook())
    with FolderLock(out), shown, terminated_as_interrupted():
        begun = (out / "study.json").is_file()
        asked = judged(settle_to_train(study, out, said), out, margin, verdict)  # again, with the lock
        record = _Record(study, asked, out, tuned)
        wanted = None if seeds is None else tuple(seeds)
        runs = asked.runs(study, out, wanted or asked.usual, only, tuned)
        if begun and (until is not None or (wanted is not None and _missing(find_all(out, runs), {}))):
            table_before(record.rows(), len(asked.usual), out)
        if wanted is not None:
            record.asked = with_seeds(asked, dict.fromkeys(run.row.name for run in runs), wanted, begun)
        work = _Work(record, executor or (InProcess() if parallel == 1 else Processes(parallel)), shown, may_begin)
        _carry_out(work, runs, until, expected_s or {})
        return write_outputs(record.save(), out, record.asked.data_dir, page=page)


def _carry_out(
    work: _Work, runs: Sequence[PlannedRun], until: UntilDecided | None, expected_s: Mapping[str, float]
) -> None:
    """All of `runs`, or rounds of seeds; the executor is closed whatever happens."""
    record = work.record
    try:
        if until is None:
            further_look(work.carry_out(runs, expected_s), record.out)
        else:
            asked = record.asked
            _rounds(work, Rounds(record.out, until, asked.usual, asked.margin, asked.verdict), expected_s)
    finally:
        work.executor.close()


def _rounds(work: _Work, rounds: Rounds, expected_s: Mapping[str, float]) -> None:
    """Carry out one round after another, each followed by a look, until nothing is open or left to spend."""
    record = work.record
    while seeds := rounds.next(record.save()):
        record.asked = replace(record.asked, seeds=joined_seeds(record.asked.seeds, seeds))
        rows = record.asked.rows(record.study, record.out, tuned=record.tuned)
        runs = runs_of(rows, with_first_stages(rows, seeds))
        rounds.look(work.carry_out(runs, expected_s), seeds)


class _Work:
    """What carries runs out, one group after another: `record` is kept up to date all the while."""

    def __init__(
        self, record: _Record, executor: Executor, shown: Progress, may_begin: Callable[[PlannedRun], bool] | None
    ) -> None:
        self.record, self.executor, self.shown, self.may_begin = record, executor, shown, may_begin

    def carry_out(self, runs: Sequence[PlannedRun], expected_s: Mapping[str, float]) -> StudyRows:
        """Train those of `runs` that are not finished; the study's rows afterwards."""
        found = find_all(self.record.out, runs)
        self.record.forget({one.run.key for one in found if one.state == "finished"})
        self.record.save()
        if tasks := _missing(found, expected_s):
            _Session(self.record, self.executor, self.shown, self.may_begin).carry_out(tasks)
        return self.record.save()


@dataclass(frozen=True)
class Task:
    """A run that is still to be done; `expected_s` weighs it in the time left."""

    run: PlannedRun
    expected_s: float


def _missing(found: Sequence[Found], expected_s: Mapping[str, float]) -> list[Task]:
    """The runs that are not finished, those that several rows share once."""
    usual = sum(expected_s.values()) / len(expected_s) if expected_s else 1.0
    runs: dict[str, PlannedRun] = {}
    for one in found:
        if one.state != "finished":
            runs.setdefault(one.run.key, one.run)
    return [Task(run, expected_s.get(run.row.home, usual)) for run in runs.values()]


class _Record:
    """study.json while the study is carried out, and why runs failed (by `PlannedRun.key`)."""

    def __init__(self, study: StudySpec, asked: StudyRequest, out: Path, tuned: Mapping[str, Changes] | None) -> None:
        self.study, self.asked, self.out, self.tuned = study, asked, out, tuned
        self.failures = read_failures(out, asked.rows(study, out, tuned=tuned))

    def forget(self, done: set[str]) -> None:
        """Runs that are `done` have not failed."""
        self.failures = {key: why for key, why in self.failures.items() if key not in done}

    def rows(self) -> StudyRows:
        """The study's rows with what the folder holds now."""
        return study_rows(self.study, self.asked, self.out, self.failures, self.tuned)

    def save(self) -> StudyRows:
        """Bring study.json up to date with what the folder holds now; its rows."""
        rows = self.rows()
        write_study(rows, self.asked, self.out)
        return rows


@dataclass
class _Session:
    """One call's work: which runs wait, which are being trained, what failed."""

    record: _Record
    executor: Executor
    progress: Progress
    may_begin: Callable[[PlannedRun], bool] | None
    active: dict[Future[float], tuple[Task, Progress]] = field(default_factory=dict)
    begun: int = 0
    took_s: dict[str, list[float]] = field(default_factory=dict)
    expected_s: float = 0.0
    commits: dict[str, str] = field(default_factory=dict)
    """Of weights on the Hub the commit that all runs start from, though its branch may move meanwhile."""

    def carry_out(self, tasks: Sequence[Task]) -> None:
        """All of `tasks`; where that is cut short the executor is closed, and the record saved whatever happens."""
        self.progress.start(sum(task.expected_s for task in tasks), self.record.study.name)
        try:
            self._carry_out(tasks)
        except BaseException:
            self.executor.close()  # first: what it stops writes checkpoints, which the record is to name
            raise
        finally:
            self.record.save()
        self.progress.finish()

    def _carry_out(self, tasks: Sequence[Task]) -> None:
        waiting = list(tasks)
        first_error: Exception | None = None
        while waiting or self.active:
            for task in list(waiting):
                if len(self.active) >= self.executor.slots:
                    break
                if self._must_wait(task, waiting):
                    continue
                waiting.remove(task)
                if self.may_begin is not None and not self.may_begin(task.run):
                    continue
                inner = self.progress.inside(self._weight(task))
                try:
                    self._submit(task, inner)
                except UserError as error:
                    first_error = first_error or error
                    self._failed(task, inner, error)
            if self.active:
                self._collect()
                left = [*waiting, *(task for task, _ in self.active.values())]
                if done := self._done_s():
                    self.progress.adjust(done, done + sum(self._weight(task) for task in left))
        if first_error is not None and self.begun == 0:
            raise first_error

    def _weight(self, task: Task) -> float:
        """Expected seconds of a run: what the row's runs took, else its estimate, corrected as the others' were."""
        took = self.took_s.get(task.run.row.home)
        if took:
            return sum(took) / len(took)
        done = self._done_s()
        return task.expected_s * (done / self.expected_s if done else 1.0)

    def _done_s(self) -> float:
        return sum(sum(each) for each in self.took_s.values())

    def _must_wait(self, task: Task, waiting: Sequence[Task]) -> bool:
        """Whether a run whose weights this one takes is still to be done."""
        unfinished = {other.run.key for other in [*waiting, *(other for other, _ in self.active.values())]}
        return any(PlannedRun(row, task.run.seed).key in unfinished for row in task.run.row.before.values())

    def _submit(self, task: Task, progress: Progress) -> None:
        spec = task.run.spec
        for key, row in task.run.row.before.items():
            before = find(self.record.out, PlannedRun(row, task.run.seed))
            if before.state != "finished" or before.folder is None:
                what = "whose weights it starts from" if key == START else "which teaches it"
                raise UserError(f"row {row.name}, {what}, has no finished run")
            spec = spec.changed({key: str(before.folder.path)})
        if START not in task.run.row.before and (given := spec.model.start_from) is not None:
            self.commits[given.source] = self.commits.get(given.source) or at_commit(given.source)
            spec = spec.changed({"model.start_from.source": self.commits[given.source]})
        resolved = self.executor.resolve(spec)
        folder = run_folder(self.record.out, task.run, resolved.identity())
        if self.record.failures.pop(task.run.key, None) is not None:
            self.record.save()  # it is being tried again
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
        self.record.save()

    def _failed(self, task: Task, progress: Progress, error: BaseException) -> None:
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        self.record.failures[task.run.key] = reason
        progress.note(f"{task.run.name} failed: {reason}")
        progress.finish()
