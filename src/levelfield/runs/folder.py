"""The folder that holds one run, and what may be read from it.

```
run.json               resolved configuration and identity
environment.json       package versions, git commit, CPU or GPU, threads
lock                   held while the run is written; says which process writes
starts.json            the step at which each start of the run began or went on
metrics.jsonl          a line per interval ("kind": "train") and per epoch ("kind": "epoch")
checkpoints/           the last few, by step number
weights.safetensors    final weights, without metadata: equal weights are equal bytes
predictions.parquet    test index, label, probabilities
result.json            flat numbers and the per-class report; present only when the run has finished or failed
failures.json          why attempts at this run failed, in order; absent where none did
tensorboard/           the metrics for TensorBoard, where that is installed and execution.loggers names it
learning_curve.png     loss and top-1 over epochs; drawn by the command line
```
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from levelfield.errors import UserError
from levelfield.runs.atomic import write_bytes
from levelfield.runs.weights_content import WEIGHTS_DIGEST, content_digest
from levelfield.spec import RunSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

FAILURES: Final = "failures.json"
CALIBRATION: Final = "calibration.json"


def folder_name(text: str) -> str:
    """`text` (a model's name, a data set by its path) as the name of one folder: a hyphen for what parts folders on any
    system."""
    return re.sub(r"[:/\\]", "-", text)


@dataclass(frozen=True)
class Predictions:
    """Test predictions: `index` int64 (N,), `label` int64 (N,), `probabilities` float32 (N, classes)."""

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True)
class RunFolder:
    """One run's folder. Reading raises UserError where a file is damaged; absent files give None or empty."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def weights(self) -> Path:
        """The final weights, in a repository of the Hugging Face Hub under the name that is usual there."""
        shared = self.path / "model.safetensors"
        return shared if shared.is_file() else self.path / "weights.safetensors"

    def exists(self) -> bool:
        return (self.path / "run.json").is_file()

    def description(self) -> dict[str, Any]:
        """run.json: `identity`, `run` (a valid RunSpec), `reproducible` and what else its writer said of the run."""
        value = self._json("run.json", dict)
        if value is None:
            raise _no_run(str(self.path))
        return value

    def spec(self) -> RunSpec:
        """The resolved configuration."""
        return RunSpec.parse(self.description()["run"], str(self.path / "run.json"))

    @property
    def identity(self) -> str:
        return str(self.description()["identity"])

    def result(self) -> dict[str, Any] | None:
        """result.json, or None while the run has not finished."""
        return self._json("result.json", dict)

    @property
    def finished(self) -> bool:
        result = self.result()
        return result is not None and result["status"] == "finished"

    def check_has_weights(self, key: str = "") -> None:
        """Raise UserError where this is no finished run with its weights; `key` says what names the folder."""
        where = f"{key}: {self.path}" if key else str(self.path)
        if not self.exists():
            raise _no_run(where)
        if not self.finished or not self.weights.is_file():
            raise UserError(f"{where} holds no finished run: it has no weights yet\ntrain it to its end first")
        self.check_weights_not_replaced()

    def check_weights_not_replaced(self) -> None:
        """Raise UserError where the file of weights is of other weights than result.json states."""
        if self.weights_replaced():
            raise UserError(
                f"{self.weights} does not hold the weights that this run ended with\n"
                f"restore it (its digest: {WEIGHTS_DIGEST} in result.json), or train the run again"
            )

    def weights_replaced(self) -> bool:
        """Whether the file holds other weights than result.json states, or none. False where either is absent."""
        stated = (self.result() or {}).get(WEIGHTS_DIGEST)
        return stated is not None and self.weights.is_file() and stated != self._digest_of_file()

    def weights_digest(self) -> str | None:
        """The digest of the run's weights: as result.json states it, else of the file; None where neither tells it."""
        return (self.result() or {}).get(WEIGHTS_DIGEST) or self._digest_of_file()

    def _digest_of_file(self) -> str | None:
        try:
            return content_digest(self.weights) if self.weights.is_file() else None
        except UserError:  # it is no file of weights
            return None

    def environment(self) -> dict[str, Any]:
        """environment.json of the last start; `earlier` lists those of starts before it that differed."""
        return self._json("environment.json", dict) or {}

    def failures(self) -> list[str]:
        """Why attempts at this run failed, in order, whether or not a later one finished."""
        return [str(reason) for reason in self._json(FAILURES, list) or ()]

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line cut off by a kill is left out."""
        path = self.path / "metrics.jsonl"
        if not path.is_file():
            return []
        text = path.read_text(encoding="utf-8", errors="replace")
        whole, _, _ = text.rpartition("\n")
        lines = []
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                raise _damaged(path, f"line {number} is no JSON") from None
        return lines

    def calibration(self) -> dict[str, Any] | None:
        """calibration.json: the `temperature` that divides logits, and what it was fitted on; None where it was not."""
        return self._json(CALIBRATION, dict)

    @property
    def has_predictions(self) -> bool:
        return self._predictions.is_file()

    @property
    def _predictions(self) -> Path:
        return self.path / "predictions.parquet"

    def predictions(self) -> Predictions | None:
        return read_predictions(self._predictions) if self.has_predictions else None

    def _json(self, name: str, kind: type[T]) -> T | None:
        """What a file of JSON holds, which must be of `kind`; None where it is absent."""
        path = self.path / name
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, json.JSONDecodeError) as error:
            raise _damaged(path, error) from None
        if not isinstance(value, kind):
            raise _damaged(path, f"it holds no JSON {'object' if kind is dict else 'list'}")
        return value


def _no_run(where: str) -> UserError:
    return UserError(f"{where} is not a run folder: it has no run.json\ngive a folder that levelfield train wrote")


def _damaged(path: Path, why: object) -> UserError:
    return UserError(f"{path} cannot be read: {why}\nremove the run folder and train it again")


def find_runs(folder: Path) -> list[RunFolder]:
    """All run folders at or below `folder`, in the order of their paths."""
    return [RunFolder(path.parent) for path in sorted(folder.rglob("run.json"))]


def write_predictions(path: Path, predictions: Predictions, zstd_level: int | None = None) -> None:
    """Write a Parquet file with the columns index, label, probabilities (a fixed-size list of float32)."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    classes = predictions.probabilities.shape[1]
    table = pa.table(
        {
            "index": _arrow(predictions.index),
            "label": _arrow(predictions.label),
            "probabilities": pa.FixedSizeListArray.from_arrays(_arrow(predictions.probabilities.ravel()), classes),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=zstd_level)
    write_bytes(path, buffer.getvalue())


def _arrow(values: NDArray[Any]) -> Any:
    """Numbers (N,) as a pyarrow array over the same memory: `pa.array` imports pandas, if it is there."""
    import numpy as np
    import pyarrow as pa

    whole = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(whole.dtype), len(whole), [None, pa.py_buffer(whole)])


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote. Raises UserError for a damaged file or one with other columns."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:  # pq.read_table would import pandas, if it is there
            table = file.read(columns=["index", "label", "probabilities"])
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise UserError(
            f"{path} cannot be read as predictions: {error}\n"
            "it must be Parquet with the columns index, label (int64) and probabilities (list of float)"
        ) from None
    flat = _numbers(table["probabilities"].combine_chunks().flatten())
    return Predictions(
        index=_numbers(table["index"].combine_chunks()).astype(np.int64),
        label=_numbers(table["label"].combine_chunks()).astype(np.int64),
        probabilities=flat.reshape(table.num_rows, -1).astype(np.float32),
    )


def _numbers(array: Any) -> NDArray[Any]:
    """A pyarrow array as numpy's, by DLPack: its own `to_numpy` imports pandas, if it is there."""
    import numpy as np

    found: NDArray[Any] = array.to_numpy(zero_copy_only=False) if array.null_count else np.from_dlpack(array)
    return found
