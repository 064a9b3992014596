"""What a study of many short runs pays for their start: warm workers beside a process from scratch for every run.

Rounds of `--runs` runs each, which take turns: with warm workers (`levelfield.studies.running.warm_worker`), then
with a `levelfield train` a run, as before there were any, then one of them alone. A worker's own start is counted.

    python benchmarks/bulk_runs.py                       # 4 runs of 21 steps of resnet_nano on digits, one slot
    python benchmarks/bulk_runs.py --steps 210 --slots 2 --rounds 5 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from levelfield.progress import Progress
from levelfield.spec import RunSpec, load_recipe
from levelfield.studies.running.processes import Processes
from levelfield.studies.running.workers import FreshProcesses, WarmWorker

WAYS: Final = {"warm": WarmWorker, "fresh": FreshProcesses}


def seconds(way: str, runs: list[RunSpec], slots: int, folder: Path) -> tuple[float, list[float]]:
    """Seconds that all `runs` took together, and each of them."""
    begin = time.perf_counter()
    with closing(Processes(slots, WAYS[way])) as executor:
        futures = [executor.submit(run, folder / str(run.seed), Progress(shown=False)) for run in runs]
        each = [future.result() for future in futures]
    return time.perf_counter() - begin, each


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="resnet_nano")
    parser.add_argument("--steps", type=int, default=21)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    values: dict[str, Any] = {
        "model": {"name": given.model}, "data": {"name": "digits", "image_size": 16},
        "recipe": load_recipe("digits-fast").recipe, "budget": {"steps": given.steps},
        "execution": {"threads": given.threads},
    }  # fmt: skip
    runs = [RunSpec.parse({**values, "seed": seed}, "benchmark") for seed in range(given.runs)]
    took: dict[str, list[float]] = {way: [] for way in WAYS}
    alone: list[float] = []
    later: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        for number in range(given.rounds):
            for way in WAYS:
                whole, each = seconds(way, runs, given.slots, Path(name) / f"{way}-{number}")
                took[way].append(whole)
                later[way] += each[given.slots :]
            alone.append(seconds("fresh", runs[:1], 1, Path(name) / f"alone-{number}")[0])
    if given.json:
        print(json.dumps({"seconds": took, "seconds_of_later_runs": later, "seconds_of_one_alone": alone}, indent=2))
        return
    print("| runs | in a warm worker, s | in fresh processes, s | ratio |\n|---|---|---|---|")
    for what, figures in ((f"all {given.runs}", took), ("one that is not the first of its slot", later)):
        if not figures["warm"]:
            print(f"| {what} | - | - | no more runs than slots |")
            continue
        warm, fresh = (statistics.median(figures[way]) for way in WAYS)
        print(f"| {what} | {warm:.2f} | {fresh:.2f} | {fresh / warm:.2f} |")
    times = statistics.median(took["warm"]) / statistics.median(alone)
    print(f"\nall {given.runs} in warm workers take {times:.2f} times as long as `levelfield train` of one alone")


if __name__ == "__main__":
    main()
