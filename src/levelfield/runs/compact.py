"""A finished run as it is kept in a repository: what tables and pages read, without weights and checkpoints.

A run on CIFAR-100 takes about 0.3 MB then. Kept are run.json (without the places of data, of the weights started
from and of the teacher on the machine that trained it), environment.json, result.json, the epochs' lines of
metrics.jsonl, and predictions.parquet with probabilities to three decimals, the most likely class unchanged.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from levelfield.runs import Predictions, RunFolder, write_json, write_predictions, write_text

DECIMALS: Final = 3
FLOOR: Final = np.float32(1e-4)
"""What stands for a probability that rounds to zero, so that logarithms stay finite."""
ZSTD_LEVEL: Final = 19


def write_compact(run: RunFolder, target: Path) -> None:
    """Write the finished `run` into the folder `target` in its compact form; environment.json and the result as they
    are. Raises UserError where a file of the run is damaged."""
    target.mkdir(parents=True, exist_ok=True)
    description = run.description()
    description["run"]["execution"]["data_dir"] = None
    if (start := description["run"]["model"]["start_from"]) is not None and Path(start["source"]).is_absolute():
        start["source"] = "/".join(Path(start["source"]).parts[-2:])
    distil = description["run"]["recipe"].get("distil")
    if distil is not None and Path(distil["teacher"]).is_absolute():
        distil["teacher"] = "/".join(Path(distil["teacher"]).parts[-2:])
    for plugin in description["run"]["plugins"]:
        plugin["path"] = Path(plugin["path"]).name
    write_json(target / "run.json", description)
    write_json(target / "environment.json", run.environment())
    epochs = [line for line in run.metrics() if line["kind"] == "epoch"]
    write_text(target / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in epochs))
    if (predictions := run.predictions()) is not None:
        write_predictions(target / "predictions.parquet", rounded(predictions), zstd_level=ZSTD_LEVEL)
    write_json(target / "result.json", run.result())


def without_study_places(study: dict[str, Any]) -> dict[str, Any]:
    """The content of a study.json without the places of data, plugins and study file on the machine that trained it."""
    study = copy.deepcopy(study)
    for declared in (spec for row in study["rows"] for spec in row["declared"]):
        declared["plugins"] = [{**one, "path": Path(one["path"]).name} for one in declared.get("plugins") or ()]
    if "asked" in study:
        asked = study["asked"]
        asked["plugins"] = [Path(path).name for path in asked["plugins"]]
        asked |= {"source": Path(asked["source"]).name, "data_dir": None}
    return study


def without_places(message: str) -> str:
    """`message` with absolute paths in quotes cut to their last part, which means something on another machine too."""
    return re.sub(r"'/[^']*?([^'/]+)/?'", r"'\1'", message)


def rounded(predictions: Predictions) -> Predictions:
    """`predictions` with probabilities rounded to DECIMALS; where that would make two classes equal at the top, the one
    that was ahead stays ahead."""
    exact = predictions.probabilities
    short = np.maximum(np.round(exact, DECIMALS), FLOOR).astype(np.float32)
    rows, top = np.arange(len(exact)), exact.argmax(1)
    changed = short.argmax(1) != top
    short[rows[changed], top[changed]] = short[changed].max(1) + np.float32(10.0**-DECIMALS)
    return replace(predictions, probabilities=short)
