"""Which run folder belongs to which planned run, told from what the folder says of itself.

A planned run is matched by its science. What is filled in only when a run is resolved (number of classes, checksums,
precision) counts as equal while it is open, so a table can be made where the data or the GPU is not. A folder whose
identity is not that of its own configuration (another SCIENCE_VERSION) belongs to nothing. A run that started from
another row's weights belongs only while that row's own run is the one that it started from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from levelfield.errors import UserError
from levelfield.runs import RunFolder
from levelfield.spec import RunSpec
from levelfield.studies.plan import ROW, PlannedRun
from levelfield.studies.study import Changes

TUNED: Final = "tuned.json"
"""What a sweep found, by row, in the study's folder."""
SWEEP: Final = "sweep"
"""The folder of a sweep's runs, below the study's."""

State = Literal["finished", "failed", "begun", "missing"]


@dataclass(frozen=True)
class Found:
    """What there is of a planned run: its folder (None: nothing yet), how far it came, and why it failed."""

    run: PlannedRun
    folder: RunFolder | None
    state: State
    why: str = ""


def default_folder(study: str, scale: str) -> Path:
    """Where a study's runs go: runs/NAME, and runs/NAME-SCALE for another scale than full."""
    return Path("runs") / (study if scale == "full" else f"{study}-{scale}")


def run_folder(out: Path, run: PlannedRun, identity: str) -> Path:
    """Where a run goes below its study's folder: an edited recipe has another identity, hence another folder."""
    return out / run.row.home / f"seed{run.seed}-{identity[:8]}"


def find_all(out: Path, runs: Sequence[PlannedRun]) -> list[Found]:
    """What `out` holds of each planned run, in the order of `runs`."""
    return [find(out, run) for run in runs]


def find(out: Path, run: PlannedRun) -> Found:
    """What `out` holds of one planned run; of several folders that match, a finished one, else the newest."""
    candidates = []
    for path in sorted((out / run.row.home).glob(f"seed{run.seed}-*")):
        folder = RunFolder(path)
        if folder.exists() and belongs(out, run, folder):
            state, why = state_of(folder)
            candidates.append(
                (state == "finished", (path / "run.json").stat().st_mtime, Found(run, folder, state, why))
            )
    if not candidates:
        return Found(run, None, "missing")
    return max(candidates, key=lambda candidate: candidate[:2])[2]


def state_of(folder: RunFolder) -> tuple[State, str]:
    """How far a run folder came; for a failed one, why."""
    result = folder.result()
    if result is None:
        return "begun", ""
    if result["status"] == "finished":
        return "finished", ""
    return "failed", str(result["status"]).removeprefix("failed: ")


def belongs(out: Path, run: PlannedRun, folder: RunFolder) -> bool:
    """Whether the folder's run is the planned one, its identity that of the present SCIENCE_VERSION, and the row that
    it starts from still what it started from."""
    resolved = folder.spec()
    return (
        agrees(run.spec, resolved)
        and resolved.identity() == folder.identity
        and _from_present_first(out, run, resolved)
    )


def _from_present_first(out: Path, run: PlannedRun, resolved: RunSpec) -> bool:
    """Whether `resolved` started from the finished run that its first stage now has in `out`.

    Told by row and folder name, which carries that run's identity, so that a study may move to another place.
    """
    if run.row.first is None:
        return True
    first = find(out, PlannedRun(run.row.first, run.seed))
    start = resolved.model.start_from
    if first.folder is None or first.state != "finished" or start is None:
        return False
    return Path(start.source).parts[-2:] == first.folder.path.parts[-2:]


def agrees(declared: RunSpec, resolved: RunSpec) -> bool:
    """Whether `resolved` is what `declared` becomes when it is resolved."""
    start, began = declared.model.start_from, resolved.model.start_from
    if start and began and not start.digest and not start.source.startswith(ROW) and start.source != began.source:
        return False
    if declared.data.checksum is None and declared.data.name != resolved.data.name:
        return False  # a place of one's own is not in the science of a run whose checksum is known
    return _agree(declared.science(), resolved.science(), "")


OPEN = {
    "model.num_classes", "model.image_size", "data.image_size", "data.validation", "data.checksum",
    "model.start_from.digest", "plugins.digest",
}  # fmt: skip
"""What resolving may fill in."""


def _agree(declared: Any, resolved: Any, path: str) -> bool:
    if path == "recipe.precision" and declared in ("auto", "bf16_if_native"):
        return resolved in {declared, "fp32", "bf16", *(["fp16"] if declared == "auto" else [])}
    if (path in OPEN and declared is None) or path == "data.name":
        return True
    if isinstance(declared, Mapping) and isinstance(resolved, Mapping):
        keys = (set(declared) | set(resolved)) - ({"source"} if path == "model.start_from" else set())
        return all(_agree(declared.get(key), resolved.get(key), f"{path}.{key}".lstrip(".")) for key in keys)
    if isinstance(declared, list) and isinstance(resolved, list):
        pairs = zip(declared, resolved, strict=False)
        return len(declared) == len(resolved) and all(_agree(one, two, path) for one, two in pairs)
    return bool(declared == resolved)


def read_tuned(out: Path) -> Mapping[str, Changes]:
    """Row -> the setting that a sweep in `out` found for it; empty where there was none."""
    try:
        tuned: dict[str, Changes] = json.loads((out / TUNED).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise UserError(f"{out / TUNED} cannot be read: {error}\nremove it and sweep again") from None
    return tuned
