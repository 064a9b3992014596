"""Tune every row alike: so many trials each of one space, chosen on the validation slice, never on test.

A sweep is a study whose rows are trials, at a stated part of the study's length, one seed, in the folder `sweep` of the
study. The best of each row goes to `tuned.json`, which rows whose setting is to be found then use, and every trial to
`sweep.json`, which reports show.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from levelfield.progress import Progress
from levelfield.runs import FolderLock, RunFolder, write_json
from levelfield.studies.running.executor import Executor
from levelfield.studies.running.in_process import InProcess
from levelfield.studies.running.processes import Processes
from levelfield.studies.running.search import Search
from levelfield.studies.running.terminated_as_interrupted import terminated_as_interrupted
from levelfield.studies.running.trials import Trials
from levelfield.tables.sweep import Sweep, Trial, as_json
from levelfield.tables.sweeps import SWEEP, SWEEPS, TUNED, read_sweeps, read_tuned


def run_sweep(
    out: Path,
    searches: Sequence[Search],
    progress: Progress,
    executor: Executor | None = None,
    parallel: int = 1,
) -> list[Sweep]:
    """Carry out every trial that is not there yet, on `executor` (None: here, `parallel` at once).

    Written as soon as a search is complete: the best of each row to `out`/tuned.json, its trials to sweep.json. A sweep
    that was stopped goes on where it was.
    """
    folder = out / SWEEP
    with FolderLock(folder), progress, terminated_as_interrupted():
        work = executor or (InProcess() if parallel == 1 else Processes(parallel))
        trials = Trials(searches, folder, work, progress, lambda: save(out, _complete(searches, trials)))
        trials.carry_out()
        return save(out, _complete(searches, trials))


def _complete(searches: Sequence[Search], trials: Trials) -> list[Sweep]:
    """What the searches found whose trials have all ended."""
    found = [(search, trials.of(search)) for search in searches]
    return [_sweep(search, of, trials.folder) for search, of in found if _ended(search, of)]


def _ended(search: Search, trials: Sequence[Trial]) -> bool:
    return len(trials) == search.count and all(trial.state != "open" for trial in trials)


def _sweep(search: Search, trials: Sequence[Trial], folder: Path) -> Sweep:
    counted = _counted(folder, trials)
    return Sweep(
        rows=search.names,
        points=tuple(trials),
        setting=search.in_words(),
        sampler=search.sampler,
        space=search.space,
        alike=search.alike,
        rungs=search.rungs,
        reduction=search.reduction if search.rungs else 0,
        macs=counted.get("macs"),
        teacher_macs=counted.get("teacher_macs", 0),
    )


def _counted(folder: Path, trials: Sequence[Trial]) -> dict[str, int]:
    """Multiply-accumulates of a forward pass of the network, and of its teacher's, as a finished trial counted them."""
    for trial in trials:
        result = (RunFolder(folder / trial.run).result() or {}) if trial.state == "finished" and trial.run else {}
        if result.get("macs") is not None:
            return {key: int(result[key]) for key in ("macs", "teacher_macs") if result.get(key) is not None}
    return {}


def save(out: Path, sweeps: Sequence[Sweep]) -> list[Sweep]:
    """Bring tuned.json and sweep.json up to date: what is found for rows now replaces what was found for them before.

    What was tried for them before stays with them, as `Sweep.earlier`; of rows that shared their search and were not
    swept now, the record stays.
    """
    if not sweeps:
        return []
    held = read_sweeps(out)
    sweeps = [sweep.after(held) for sweep in sweeps]
    best = {name: dict(sweep.best.setting) for sweep in sweeps if sweep.best for name in sweep.rows}
    failed = {name for sweep in sweeps if not sweep.best for name in sweep.rows}
    write_json(out / TUNED, {k: v for k, v in {**read_tuned(out), **best}.items() if k not in failed})
    now = {name for sweep in sweeps for name in sweep.rows}
    before = [left for sweep in held if (left := sweep.without(now)) is not None]
    write_json(out / SWEEPS, [as_json(sweep) for sweep in (*before, *sweeps)])
    return sweeps
