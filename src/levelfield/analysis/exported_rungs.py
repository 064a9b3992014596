"""Exported files of a ladder's runs, as `levelfield export` measured them: rungs of their own, below those runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.runs import RunFolder

RECORD: Final = "export.json"
NEEDED: Final = (
    "identity", "weights", "to", "file", "sha256", "bytes", "precision", "int8", "tested.top1", "latency.ms_q1",
)  # fmt: skip
"""What a record must say to stand on a ladder; of `latency`, of each batch size."""


@dataclass(frozen=True)
class ExportedRung:
    """The exports of the runs of one rung (`parent`, its name) in one form, a seed each: what was `done`, in words;
    `records`, what export.json says of each; `runs`, what each was made of, in the same order."""

    parent: str
    done: str
    records: list[dict[str, Any]]
    runs: list[RunFolder]

    def timed(self) -> dict[str, Any]:
        """The record that stands for the time of all: of the seeds' the one whose time of one image is their median (of
        two in the middle the faster), so that a machine that was busy once tells nothing."""
        return sorted(self.records, key=lambda record: _of_one_image(record)["ms"])[(len(self.records) - 1) // 2]

    def latency(self) -> dict[str, float]:
        """Of one image at a time, of the record `timed`: `ms`, its quartiles `ms_q1` and `ms_q3`, and `torch_ms`."""
        return _of_one_image(self.timed())


def _of_one_image(record: Mapping[str, Any]) -> dict[str, float]:
    (one,) = (each for each in record["latency"] if each["batch"] == 1)
    return dict(one)


def exported_rungs(rungs: Mapping[str, Sequence[RunFolder]], folders: Sequence[Path]) -> dict[str, ExportedRung]:
    """The exports at or below `folders`, by the names of their rungs. `rungs`: the ladder's finished runs, by rung.

    Raises UserError for an export of a run that is not among these or has other weights by now, for a file that is not
    the one tested, for two of one run in one form, and for a record that does not say enough.
    """
    of = {run.identity: (name, run) for name, runs in rungs.items() for run in runs}
    found: dict[str, ExportedRung] = {}
    seen: dict[tuple[str, str], Path] = {}
    for folder in dict.fromkeys(path.parent for each in folders for path in sorted(each.rglob(RECORD))):
        record = _record(folder)
        parent, run = _made_of(folder, record, of)
        name = f"{parent}, {record['to']} in {record['precision']}"
        if (other := seen.setdefault((name, run.identity), folder)) != folder:
            raise UserError(f"{other} and {folder} are exports of one run in one form\nleave one of them out")
        rung = found.setdefault(name, ExportedRung(parent, _done(record), [], []))
        rung.records.append(record)
        rung.runs.append(run)
    return found


def _record(folder: Path) -> dict[str, Any]:
    """What export.json in `folder` says, of the file that lies there."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        lacking = [key for key in NEEDED if not _says(record, key)]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error}\nexport the run again") from None
    if lacking:
        raise UserError(f"{path} does not say {', '.join(lacking)}\nexport the run again: levelfield export")
    file = folder / record["file"]
    if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != record["sha256"]:
        raise UserError(f"{file} is not the file that was tested ({path})\nexport the run again")
    return dict(record)


def _says(record: dict[str, Any], key: str) -> bool:
    first, _, inner = key.partition(".")
    if not inner:
        return first in record and (record[first] is not None or first == "int8")
    each = record.get(first) or []
    return bool(each) and all(inner in one for one in (each if isinstance(each, list) else [each]))


def _made_of(folder: Path, record: dict[str, Any], runs: Mapping[str, tuple[str, RunFolder]]) -> tuple[str, RunFolder]:
    """The rung and the run that the export in `folder` was made of."""
    identity = str(record["identity"])
    if identity not in runs:
        raise UserError(
            f"{folder} is an export of run {identity[:8]}, which is in none of the folders\n"
            "name the folder of that run, or of its study, too"
        )
    name, run = runs[identity]
    if record["weights"] != run.weights_digest():
        raise UserError(f"{folder} was made of other weights than {run.path} has now\nexport that run again")
    return name, run


def _done(record: dict[str, Any]) -> str:
    if record["int8"] is None:
        return f"{record['precision']} file"
    return (
        "int8 file, ranges learnt in training" if record["int8"]["learnt"] else "int8 file, calibrated after training"
    )
