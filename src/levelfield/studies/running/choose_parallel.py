"""How many runs at once a study takes on this machine, found out by a short trial.

Some networks want all cores for one run, small ones train faster one beside the other, and what else the machine does
counts too. The runs of the trial are those of one row, on throwaway weights. What was tried and chosen stands in the
study's folder (`parallel.json`). How many threads a run has changes how sums round: losses part in their last
digits, and from there some test images are told otherwise. environment.json says it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import write_json, write_text
from levelfield.spec import RunSpec
from levelfield.studies.results.run_folders import Found
from levelfield.system.machine import processor_name, usable_cores
from levelfield.thread_waiting import spin_briefly

FILE: Final = "parallel.json"
SECONDS: Final = 2.0
"""How long one way is tried each time, ..."""
TURNS: Final = 3
"""... and how often: the ways take turns."""
MOST: Final = 8
LIMIT_S: Final = 90.0
"""A trial takes about ten seconds; on a machine so busy that it takes longer than this it is given up."""
BETTER: Final = 1.05
"""More runs at once must train that much more images a second: a single run ends sooner, and shows how far it is."""


@dataclass(frozen=True)
class Trial:
    """What was tried with the runs of one row: images a second of all runs together, by how many ran at once."""

    row: str
    images_per_s: dict[int, list[float]]
    threads: dict[int, int]

    @property
    def chosen(self) -> int:
        return best(self.images_per_s)

    @property
    def faster(self) -> float:
        """How many times as many images a second the chosen way trains as one run on all cores."""
        one, chosen = (statistics.median(self.images_per_s[count]) for count in (1, self.chosen))
        return chosen / one

    def record(self, out: Path) -> None:
        """Write what was tried and chosen into a study's folder."""
        out.mkdir(parents=True, exist_ok=True)
        rates = {count: [round(rate, 1) for rate in each] for count, each in self.images_per_s.items()}
        ways = self.threads.items()
        tried = [{"parallel": n, "threads": threads, "images_per_s": rates[n]} for n, threads in ways]
        write_json(out / FILE, {"row": self.row, **_here(), "chosen": self.chosen, "tried": tried})


def try_parallel(found: Sequence[Found], progress: Progress) -> Trial | None:
    """How many of the runs that are not finished to train at once, by a trial with the row that has most of them.

    None where nothing is to be tried: a GPU trains, the threads of a run are given, one run or one core is left. Raises
    UserError where the row that is tried cannot be run.
    """
    from levelfield.training.device import choose_device

    left = {one.run.key: one.run for one in found if one.state != "finished"}
    rows = Counter(run.row.home for run in left.values())
    ways = ways_to_share(usable_cores(), len(left))
    if len(ways) < 2:
        return None
    tried = rows.most_common(1)[0][0]
    spec = next(run for run in left.values() if run.row.home == tried).alone
    if choose_device(spec.execution.device).type != "cpu" or spec.execution.threads is not None:
        return None
    return Trial(tried, images_per_s(spec, ways, progress), ways)


def recorded_choice(out: Path) -> int | None:
    """How many runs at once a trial chose on a machine like this one, for the study in the folder `out`."""
    try:
        held = json.loads((out / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return int(held["chosen"]) if _here().items() <= held.items() else None


def _here() -> dict[str, Any]:
    return {"processor": processor_name(), "cores": usable_cores()}


def ways_to_share(cores: int, runs: int) -> dict[int, int]:
    """Runs at once -> threads of each: all powers of two that `cores` and `runs` allow."""
    return {count: cores // count for count in (1, 2, 4, MOST) if count <= min(cores, runs)}


def best(rates: dict[int, list[float]]) -> int:
    """The fewest runs at once that none of more beats clearly, by medians."""
    chosen, *more = sorted(rates)
    for count in more:
        if statistics.median(rates[count]) > BETTER * statistics.median(rates[chosen]):
            chosen = count
    return chosen


def images_per_s(spec: RunSpec, ways: dict[int, int], progress: Progress) -> dict[int, list[float]]:
    """Images a second of all runs together, at each of the `ways`, whose turns alternate."""
    rates: dict[int, list[float]] = {parallel: [] for parallel in ways}
    progress.start(TURNS * len(ways), "trying how many runs at once are fastest")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "run.json"
        write_text(path, spec.model_dump_json())
        trials = [stack.enter_context(StepTrial(path)) for _ in range(max(ways))]
        for trial in trials:
            trial.wait_until_ready()
        for _ in range(TURNS):
            for parallel, threads in ways.items():
                for trial in trials[:parallel]:
                    trial.begin(threads, SECONDS)
                rates[parallel].append(sum(trial.answer() for trial in trials[:parallel]))
                progress.advance()
    progress.finish()
    return rates


class StepTrial:
    """A process of `step_trial.py`, as a context manager. `environment`: what it has beside, or instead of, our own."""

    def __init__(self, run: Path, environment: dict[str, str] | None = None) -> None:
        given = {**os.environ, **(environment or {})}
        spin_briefly(given)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "levelfield.studies.running.step_trial", str(run)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
            env=given,
        )  # fmt: skip

        self._too_long = False
        self._timer = threading.Timer(LIMIT_S, self._give_up)
        self._timer.daemon = True

    def __enter__(self) -> StepTrial:
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.communicate()

    def _give_up(self) -> None:
        self._too_long = True
        self._process.kill()

    def wait_until_ready(self) -> None:
        self._line()

    def begin(self, threads: int, seconds: float) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended: the answer says why
            print(threads, seconds, file=self._process.stdin, flush=True)

    def answer(self) -> float:
        """Images a second since `begin`."""
        return float(self._line())

    def _line(self) -> str:
        """The next line of stdout. Raises UserError, with the reason, where the process ended or was given up."""
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return line
        if self._too_long:
            raise UserError(
                f"the machine is too busy to try how many runs at once are fastest: {LIMIT_S:g} s were not enough\n"
                "give --parallel a number"
            )
        said = self._process.communicate()[1].strip().splitlines() or ["without a word"]
        raise UserError(f"the trial of how many runs to train at once failed: {said[-1]}\ngive --parallel a number")
