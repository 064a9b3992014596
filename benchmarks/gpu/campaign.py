"""What the jobs of the measured campaign share: a time limit, the runs that fit into it, an archive of what is done.

A job trains what `results/` lacks of a study with the package's own engine (`levelfield.Study.run`). It begins a run if
the run's expected time fits what is left (expected from finished runs of the same row on the same kind of machine, else
from a few timed steps with everything that the run will use), or if enough is left to bring it further. A finished run
goes at once into `OUT/STUDY.tar.gz`, without weights and checkpoints (`levelfield study merge` takes it from there). A
run that is under way when the time is up leaves a checkpoint in the work folder (`--work`, else `OUT/work`), which is
kept: the next call goes on from there, so that a run may be longer than any call.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.progress import duration
from levelfield.runs import RunFolder, find_runs, write_json
from levelfield.spec import RunSpec
from levelfield.studies.declared.planned_runs import PlannedRun
from levelfield.studies.declared.seeds import parse_seeds
from levelfield.studies.results.merge import merge_folders
from levelfield.studies.results.run_folders import find
from levelfield.studies.results.study_json import read_failures
from levelfield.study import Study
from levelfield.tables.sweeps import read_tuned

ROOT: Final = Path(__file__).parents[2]
ENGINES: Final[dict[str, tuple[str, ...]]] = {
    "eager": (),
    "compile": ("execution.compile=true",),
    "graphs": ("execution.cuda_graphs=true",),
}
"""How a network is computed: kernel by kernel, compiled, or compiled and replayed as CUDA graphs."""
RUN_ENGINES: Final[dict[str, tuple[str, ...]]] = {
    **ENGINES,
    "step": ("execution.step_graph=true",),
    "compiled-step": ("execution.step_graph=true", "execution.compile=true"),
}
"""How a run's step is: as its network, or captured whole as one CUDA graph."""
CLOSING_S: Final = 25.0
"""Seconds kept back for starting up, stopping runs and writing the archive."""
PROBE_S: Final = 3.0
PROBE_STEPS: Final = 42
"""Twice what the input makes ahead for batches of 64 images of 32 px."""
WARM_UP: Final = 5
"""Steps until a network is compiled and its graphs are recorded."""
MARGIN: Final = 1.15
"""An expected time is the measured one times this: validation, checkpoints and other work beside the steps."""
OVERHEAD_S: Final = 10.0
LEAST_S: Final = 90.0
"""A run that does not end in this call is begun or gone on with only if so much is left."""
NOTES: Final = "campaign.json"
"""In the work folder: by run, how many runs were carried out at once while it was trained."""


class Clock:
    """The time that a job has, counted from here."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes - CLOSING_S

    def left(self) -> float:
        """Seconds left for work; negative when it is time to close."""
        return self.end - time.monotonic()

    @contextmanager
    def limit(self) -> Iterator[None]:
        """Within it SIGTERM, which also comes when the time is up, is a KeyboardInterrupt (runs stop at their step)."""

        def interrupt(number: int, frame: object) -> None:
            raise KeyboardInterrupt

        def time_is_up(number: int, frame: object) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        old = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
        signal.signal(signal.SIGTERM, interrupt)
        signal.signal(signal.SIGALRM, time_is_up)
        signal.setitimer(signal.ITIMER_REAL, max(0.001, self.left()))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in old.items():
                signal.signal(number, handler)


def parser(description: str) -> argparse.ArgumentParser:
    """The options that all jobs share."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, required=True, help="folder for what the job brings back")
    made.add_argument("--minutes", type=float, default=9.0, help="the whole job's time limit")
    made.add_argument("--results", type=Path, default=ROOT / "results", help="what is there already")
    return made


@dataclass
class Campaign:
    """One job's work on one study.

    `done` holds earlier results, `work` this job's runs (kept from call to call), `out` what it brings back.
    """

    study: Study
    scale: str
    done: Path
    work: Path
    out: Path
    clock: Clock
    engine: str
    parallel: int = 1
    expected_s: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the archive and the folder in it are called."""
        return self.study.name if self.scale == "full" else f"{self.scale}-{self.study.name}"

    @cached_property
    def environment(self) -> dict[str, Any]:
        from levelfield.training.device import choose_device
        from levelfield.training.environment import describe_environment

        return describe_environment(choose_device("auto"))

    def may_begin(self, run: PlannedRun) -> bool:
        """Whether `results/` lacks the run and there is time for it. What is finished by now is packed first."""
        self.pack()
        if find(self.done, run).state == "finished":
            return False
        try:
            expected = self.expect(run)
        except (
            Exception
        ) as error:  # a network that cannot be built or compiled here must not cost the others their time
            self.left_out[run.name] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            return False
        expected *= 1.0 - self._share_done(run)
        left = self.clock.left()
        fits, begins = expected <= left, left >= LEAST_S
        what = "begins" if fits else "begins, to be gone on with" if begins else "waits"
        say(f"{run.name}: about {duration(expected)}, {duration(max(0.0, left))} left: {what}")
        if not fits:
            self.left_out[run.name] = f"needs about {duration(expected)}"
        if fits or begins:
            self._note(run)
        return fits or begins

    def expect(self, run: PlannedRun) -> float:
        """Seconds that a run is expected to take from its start. Raises UserError where it cannot be run here."""
        took = self._measured(run)
        if took:
            self.expected_s[run.row.home] = MARGIN * max(took) + OVERHEAD_S
        elif run.row.home not in self.expected_s:
            self.expected_s[run.row.home] = probe(run.spec, self.parallel)
        return self.expected_s[run.row.home]

    def _share_done(self, run: PlannedRun) -> float:
        """How much of a begun run its newest line of metrics shows to be done."""
        folder, epochs = find(self.work, run).folder, run.spec.budget.epochs
        lines = folder.metrics() if folder is not None and epochs else []
        return min(1.0, float(lines[-1].get("epoch", 0.0)) / float(epochs or 1)) if lines else 0.0

    def _note(self, run: PlannedRun) -> None:
        """Remember how many runs share the machine with this one (the fewest, if it was begun in an earlier call)."""
        notes = self._notes()
        notes[run.name] = min(self.parallel, notes.get(run.name, self.parallel))
        write_json(self.work / NOTES, notes)

    def _notes(self) -> dict[str, int]:
        path = self.work / NOTES
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    def _measured(self, run: PlannedRun) -> list[float]:
        """Seconds of training and testing of the row's finished runs on such a machine, carried out alike.

        A run that had the machine to itself, or shared it with fewer, may take as many times longer now: so it is
        counted, as `probe` counts. Runs in `results/` do not say how many they were; they count as alone.
        """
        here, notes = _machine(self.environment), self._notes()
        seconds = []
        for folder in (self.work, self.done):
            for path in sorted((folder / run.row.home).glob("seed*-*")):
                other = RunFolder(path)
                if other.finished and _machine(other.environment()) == here and _alike(other.spec(), run.spec):
                    result = other.result() or {}
                    took = sum(result.get(key) or 0.0 for key in ("compile_seconds", "train_seconds", "eval_seconds"))
                    name = f"{run.row.home} seed {other.spec().seed}"
                    then = notes.get(name, 1) if folder == self.work else 1
                    seconds.append(took * max(1.0, self.parallel / then))
        return seconds

    def pack(self) -> None:
        """Put every finished run of this job into the archive, which is whole at any time; drop its checkpoints."""
        finished = [run for run in find_runs(self.work) if run.finished]
        if not finished:
            return
        with tempfile.TemporaryDirectory(prefix="levelfield-job-") as folder:
            stage = Path(folder) / self.name
            merge_folders([self.work], stage, compact=True)
            archive = self.out / f"{self.name}.tar.gz"
            beside = archive.with_suffix(".part")
            with tarfile.open(beside, "w:gz") as tar:
                tar.add(stage, self.name, filter=lambda entry: None if entry.name.endswith("/lock") else entry)
            beside.replace(archive)
        for run in finished:
            shutil.rmtree(run.checkpoints, ignore_errors=True)

    def carry_out(self, rows: Sequence[str], seeds: Sequence[int] | None, data_dir: str | None) -> dict[str, Any]:
        """Train what fits; the summary that job.json holds."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.work.mkdir(parents=True, exist_ok=True)
        tuned = read_tuned(self.done)
        stopped = False
        try:
            with self.clock.limit():
                self.study.run(
                    self.work, scale=self.scale, seeds=seeds, only=rows, parallel=self.parallel,
                    may_begin=self.may_begin, page=False, overrides=[*RUN_ENGINES[self.engine], "execution.loggers=[]"],
                    data_dir=data_dir, tuned=tuned,
                )  # fmt: skip
        except KeyboardInterrupt:
            stopped = True
        self.pack()
        wanted = {run.key: run for run in self.study.plan(self.scale, seeds, only=rows, tuned=tuned)}
        folders = (self.done, self.work)
        missing = [key for key, run in wanted.items() if all(find(at, run).state != "finished" for at in folders)]
        summary = self.summary() | {"missing": missing, "stopped": stopped}
        write_json(self.out / f"{self.name}.job.json", summary)
        return summary

    def summary(self) -> dict[str, Any]:
        """What was finished and is not in `results/` yet, what was left and why, what each row was expected to take."""
        finished = []
        for run in find_runs(self.work):
            if RunFolder(self.done / run.path.relative_to(self.work)).finished:
                continue
            result = run.result()
            if result is not None and result["status"] == "finished":
                named = {"row": run.path.parent.name, "seed": result["seed"], "top1": result["top1"]}
                finished.append({**named, "train_seconds": result["train_seconds"]})
        return {
            "study": self.study.name,
            "scale": self.scale,
            "engine": self.engine,
            "parallel": self.parallel,
            "finished": finished,
            "left_out": self.left_out,
            "failures": read_failures(self.work),
            "expected_s": self.expected_s,
            "environment": self.environment,
        }


def probe(spec: RunSpec, parallel: int = 1) -> float:
    """Expected seconds of a whole run from a few steps carried out as the run's will be (compilation included).

    Side by side with others a run may take as many times longer as there are runs; so it is counted.
    """
    import torch

    from levelfield.training.prepare_run import prepare
    from levelfield.training.step_timing import seconds_per_step
    from levelfield.training.steps_and_phases import make_plan

    begin = time.monotonic()
    prepared = prepare(spec)
    per_step = seconds_per_step(prepared, PROBE_S, warm_up=WARM_UP, steps=PROBE_STEPS, as_executed=True)
    steps = make_plan(prepared.spec.recipe, prepared.spec.budget, len(prepared.data.train)).steps
    set_up = time.monotonic() - begin
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return set_up + MARGIN * parallel * per_step * steps + OVERHEAD_S


def _machine(environment: dict[str, Any]) -> str:
    return str(environment.get("gpu") or environment.get("processor"))


def _alike(one: RunSpec, two: RunSpec) -> bool:
    """Whether two runs' steps are carried out alike."""
    keys = ("compile", "cuda_graphs", "step_graph")
    ways = [([getattr(spec.execution, key) for key in keys], spec.recipe.batch_size) for spec in (one, two)]
    return ways[0] == ways[1]


def say(text: str) -> None:
    print(text, flush=True)


def main(
    description: str, study: str, rows: Sequence[str] = (), arguments: Sequence[str] | None = None
) -> dict[str, Any]:
    """The program of a job that trains: the rows of `study` that match `rows` (all, if there are none)."""
    options = parser(description)
    options.add_argument("--row", action="append", help="only rows that match, instead of the job's; may be repeated")
    options.add_argument("--seeds", help="instead of the study's: 3, or 0,4,7, or 5-8")
    options.add_argument("--scale", default="full", help="another scale of the study, to try the job out")
    options.add_argument("--work", type=Path, help="where runs are kept from call to call; default: OUT/work")
    options.add_argument("--data-dir", help="folder with the data sets (else LEVELFIELD_DATA)")
    options.add_argument("--engine", choices=RUN_ENGINES, help="default: step on a GPU, eager without one")
    options.add_argument("--parallel", type=int, default=1, help="runs at once, each in a process of its own")
    chosen = options.parse_args(arguments)
    clock = Clock(chosen.minutes)
    loaded = Study.load(study)
    import torch

    done = chosen.results / (loaded.name if chosen.scale == "full" else f"{chosen.scale}/{loaded.name}")
    work = (chosen.work or chosen.out / "work") / done.relative_to(chosen.results)
    campaign = Campaign(
        loaded, chosen.scale, done, work, chosen.out, clock,
        chosen.engine or ("step" if torch.cuda.is_available() else "eager"), chosen.parallel,
    )  # fmt: skip
    try:
        seeds = None if chosen.seeds is None else parse_seeds(chosen.seeds)
        summary = campaign.carry_out(chosen.row or list(rows), seeds, chosen.data_dir)
    except UserError as error:
        sys.exit(f"error: {error}")
    for run in summary["finished"]:
        say(f"{run['row']} seed {run['seed']}: {run['top1']:.2f} % top-1, {duration(run['train_seconds'])} of training")
    for name, why in {**summary["left_out"], **summary["failures"]}.items():
        say(f"{name}: {why}")
    say(f"{len(summary['finished'])} runs finished, {len(summary['missing'])} still missing")
    return summary
