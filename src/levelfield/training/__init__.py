"""One run: resolve, train, evaluate, read back."""

from levelfield.training.api import evaluate, train
from levelfield.training.failures import NonFiniteLossError
from levelfield.training.finished_run import LoadedRun, load_run
from levelfield.training.resolve import Prepared, prepare, resolve
from levelfield.training.run import Interrupted, RunResult, train_prepared

__all__ = [
    "Interrupted",
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
