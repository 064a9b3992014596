"""A process that times the steps of a run, when and with as many threads as it is told.

    python -m levelfield.studies.running.step_trial RUN.json

It says `ready` once the run is prepared. A line of stdin, `THREADS SECONDS`, asks for training steps on throwaway
weights over that time; the line that answers it has the images a second. It ends with its stdin.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # stdout is for answers, whatever prints

    from levelfield.spec import RunSpec
    from levelfield.spec.yaml_files import read_mapping
    from levelfield.training.prepare_run import prepare
    from levelfield.training.step_timing import seconds_per_step

    path = Path(sys.argv[1])
    prepared = prepare(RunSpec.parse(read_mapping(path), str(path)))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        threads, seconds = line.split()
        asked = replace(prepared, spec=prepared.spec.changed({"execution.threads": int(threads)}))
        end, took = time.monotonic() + float(seconds), list[float]()
        while not took or time.monotonic() < end:  # an epoch at a time
            took.append(seconds_per_step(asked, max(0.1, end - time.monotonic())))
        print(asked.spec.recipe.batch_size * len(took) / sum(took), file=answers, flush=True)


if __name__ == "__main__":
    main()
