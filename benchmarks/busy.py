"""What a busy process beside costs a training step, more than its share of the cores, by how its threads wait.

Steps of one network with as many threads as there are cores, in processes that differ in how threads wait for one
another: as libgomp has it by default, spinning briefly (as levelfield does), and sleeping at once. They take turns,
each alone and beside `--busy` processes that compute without end. A busy process's share is told from the CPU time that
it got: what is left of the cores says how long a step may take. The last column is how many times longer it took.

    python benchmarks/busy.py [--model resnet_mini] [--busy 1] [--rounds 5] [--seconds 3]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from levelfield.spec import RunSpec, load_recipe
from levelfield.studies.running.choose_parallel import StepTrial

WAYS: Final = {
    "libgomp's default": {"GOMP_SPINCOUNT": "300000"},
    "a brief spin (levelfield)": {"GOMP_SPINCOUNT": "2000"},
    "asleep at once": {"OMP_WAIT_POLICY": "PASSIVE"},
}
"""libgomp spins 300,000 times unless told otherwise (its manual, GOMP_SPINCOUNT)."""


def compute() -> None:
    number = 1
    while True:
        number = number * 3 % 1_000_003


def cpu_seconds(process: int) -> float:
    """User and system time of a process (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="resnet_mini")
    parser.add_argument("--busy", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    cores = os.cpu_count() or 1
    values = {"model": {"name": given.model}, "data": {"name": "digits", "image_size": 32}, "budget": {"epochs": 1},
              "recipe": load_recipe("cpu-fast").recipe}  # fmt: skip
    alone: dict[str, list[float]] = {way: [] for way in WAYS}
    beside: dict[str, list[float]] = {way: [] for way in WAYS}
    excess: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        run = Path(folder) / "run.json"
        run.write_text(RunSpec.parse(values, "benchmark").model_dump_json(), encoding="utf-8")
        trials = {way: stack.enter_context(StepTrial(run, environment)) for way, environment in WAYS.items()}
        for trial in trials.values():
            trial.wait_until_ready()
        for _ in range(given.rounds):
            for way, trial in trials.items():
                trial.begin(cores, given.seconds)
                alone[way].append(trial.answer())
                others = [multiprocessing.Process(target=compute, daemon=True) for _ in range(given.busy)]
                for other in others:
                    other.start()
                before, begin = [cpu_seconds(other.pid or 0) for other in others], time.monotonic()
                trial.begin(cores, given.seconds)
                beside[way].append(trial.answer())
                took = sum(cpu_seconds(other.pid or 0) for other in others) - sum(before)
                left = cores - took / (time.monotonic() - begin)
                for other in others:
                    other.kill()
                    other.join()
                excess[way].append(alone[way][-1] / beside[way][-1] * left / cores)
    print(f"{cores} cores, {cores} threads, {given.busy} busy process(es) beside, {given.model}\n")
    print("| threads wait | alone, images/s | beside, images/s | longer than its share demands |\n|---|---|---|---|")
    for way in WAYS:
        figures = [statistics.median(each[way]) for each in (alone, beside)]
        print(f"| {way} | {figures[0]:.0f} | {figures[1]:.0f} | {statistics.median(excess[way]):.2f} |")


if __name__ == "__main__":
    main()
