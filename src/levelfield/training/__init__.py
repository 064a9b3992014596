"""One run: resolve, train, evaluate, read back."""

from levelfield.training.api import evaluate, train
from levelfield.training.interrupts import Interrupted, StoppedAtEpoch
from levelfield.training.load_finished_run import LoadedRun, load_run
from levelfield.training.not_finite import NonFiniteLossError
from levelfield.training.prepare_run import Prepared, prepare, resolve
from levelfield.training.run import RunResult, train_prepared

__all__ = [
    "Interrupted",
    "StoppedAtEpoch",
    "LoadedRun",
    "NonFiniteLossError",
    "Prepared",
    "RunResult",
    "evaluate",
    "load_run",
    "prepare",
    "resolve",
    "train",
    "train_prepared",
]
