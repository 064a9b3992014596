"""Which run folder belongs to which planned run, told from what the folder says of itself.

A planned run is matched by its science, with the digests of what its data, weights and plugins hold now. What cannot be
known here (the data or the GPU is elsewhere) counts as equal while it is open; where folders of a row then differ in
it, those of the newest run count and no others, so that a row never mixes two contents. A folder whose identity is not
that of its own configuration (another SCIENCE_VERSION) belongs to nothing. A run that started from another row's
weights belongs only while that row's own run is the one that it started from. What lies in a row's folder and does not
belong is stale, and said to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from levelfield.runs import RunFolder, same_repository
from levelfield.spec import RunSpec
from levelfield.spec.weights_taken import KNOWN_BY, ROW, START, TEACHER, weights_taken
from levelfield.studies.declared.planned_runs import PlannedRow, PlannedRun
from levelfield.studies.results.input_digests import Contents

State = Literal["finished", "failed", "begun", "missing"]


@dataclass(frozen=True)
class Found:
    """What there is of a planned run: its folder (None: nothing yet), how far it came, and why it failed."""

    run: PlannedRun
    folder: RunFolder | None
    state: State
    why: str = ""


@dataclass(frozen=True)
class Stale:
    """A run in a row's folder that the row does not ask for: in what it differs from what is asked for."""

    folder: RunFolder
    seed: int
    why: str


@dataclass(frozen=True)
class Holding:
    """What a study's folder holds of one row: the runs that count, best first, by seed; and the stale ones."""

    runs: Mapping[int, tuple[Found, ...]]
    stale: tuple[Stale, ...]

    def of(self, run: PlannedRun) -> Found:
        """What there is of one planned run; of several folders a finished one, else the newest."""
        found = self.runs.get(run.seed)
        return replace(found[0], run=run) if found else Found(run, None, "missing")


def default_folder(study: str, scale: str) -> Path:
    """Where a study's runs go: runs/NAME, and runs/NAME-SCALE for another scale than full."""
    return Path("runs") / (study if scale == "full" else f"{study}-{scale}")


def run_folder(out: Path, run: PlannedRun, identity: str) -> Path:
    """Where a run goes below its study's folder: an edited recipe has another identity, hence another folder."""
    return out / run.row.home / f"seed{run.seed}-{identity[:8]}"


def find_all(out: Path, runs: Sequence[PlannedRun]) -> list[Found]:
    """What `out` holds of each planned run, in the order of `runs`."""
    held = hold_all(out, [run.row for run in runs])
    return [held[run.row.home].of(run) for run in runs]


def find(out: Path, run: PlannedRun) -> Found:
    """What `out` holds of one planned run."""
    return _holding(out, run.row, Contents()).of(run)


def hold_all(out: Path, rows: Iterable[PlannedRow]) -> dict[str, Holding]:
    """What `out` holds of `rows`, by the row whose runs they are."""
    contents = Contents()
    return {home: _holding(out, row, contents) for home, row in {row.home: row for row in rows}.items()}


def _holding(out: Path, row: PlannedRow, contents: Contents) -> Holding:
    """What `out` holds of `row`, over all seeds."""
    belonging: list[tuple[RunFolder, RunSpec]] = []
    stale = []
    for path in sorted((out / row.home).glob("seed*-*")):
        folder = RunFolder(path)
        if not folder.exists():
            continue
        resolved = folder.spec()
        if why := _foreign(out, row, folder, resolved, contents):
            stale.append(Stale(folder, resolved.seed, why))
        else:
            belonging.append((folder, resolved))
    counted = _of_one_content(row, belonging)
    stale += [
        Stale(folder, resolved.seed, "of other data or weights than the newest run")
        for folder, resolved in belonging
        if folder not in counted
    ]
    runs: dict[int, list[Found]] = {}
    for folder, resolved in belonging:
        if folder in counted:
            state, why = state_of(folder)
            runs.setdefault(resolved.seed, []).append(Found(PlannedRun(row, resolved.seed), folder, state, why))
    for found in runs.values():
        found.sort(key=lambda one: (one.state == "finished", _written(one.folder)), reverse=True)
    return Holding({seed: tuple(found) for seed, found in sorted(runs.items())}, tuple(stale))


def with_failures(found: Iterable[Found], failures: Mapping[str, str]) -> list[Found]:
    """`found`, where a run without a result is failed if `failures` (by `PlannedRun.key`) say why it has none."""
    return [
        replace(one, state="failed", why=failures[one.run.key])
        if one.state in ("begun", "missing") and one.run.key in failures
        else one
        for one in found
    ]


def state_of(folder: RunFolder) -> tuple[State, str]:
    """How far a run folder came; for a failed one, why."""
    result = folder.result()
    if result is None:
        return "begun", ""
    if result["status"] == "finished":
        return "finished", ""
    return "failed", str(result["status"]).removeprefix("failed: ")


def stale_in_words(stale: Iterable[Stale]) -> list[str]:
    """A line for every reason: which runs are stale, and why."""
    folders: dict[str, list[str]] = {}
    for one in stale:
        folders.setdefault(one.why, []).append(f"seed {one.seed}")
    return [
        f"stale, not counted: {', '.join(dict.fromkeys(seeds))} ({'runs' if len(seeds) > 1 else 'a run'} {why})"
        for why, seeds in folders.items()
    ]


def _of_one_content(row: PlannedRow, belonging: Sequence[tuple[RunFolder, RunSpec]]) -> list[RunFolder]:
    """Those of the folders that share data and given weights with the newest one."""

    def content(resolved: RunSpec) -> tuple[str | None, ...]:
        given = [taken.digest for key, taken in weights_taken(resolved).items() if key not in row.before]
        return resolved.data.checksum, *given

    if not belonging:
        return []
    _, newest = max(belonging, key=lambda one: _written(one[0]))
    return [folder for folder, resolved in belonging if content(resolved) == content(newest)]


def _written(folder: RunFolder | None) -> float:
    return 0.0 if folder is None else (folder.path / "run.json").stat().st_mtime


def _foreign(out: Path, row: PlannedRow, folder: RunFolder, resolved: RunSpec, contents: Contents) -> str:
    """Why the folder's run is none of `row`; empty where it is: what differs, another SCIENCE_VERSION, or another start
    than the row that it starts from now has."""
    declared = row.spec.changed({"seed": resolved.seed})
    if differing := differences(declared, resolved):
        return _another(differing)
    if resolved.identity() != folder.identity:
        return "of another version of levelfield"
    for key, before in row.before.items():
        if not _from_present(out, key, before, resolved, contents):
            return f"{FROM[key]} that {before.name} no longer has"
    present = contents.filled(declared)
    if changed := differences(present, resolved):
        return _another(changed)
    if present.data.checksum is None and present.data.name != resolved.data.name:
        return "of another data.name"
    then = weights_taken(resolved)
    for key, taken in weights_taken(present).items():
        if not (taken.digest or taken.of_row or _same_place(taken.place, then[key].place)):
            return f"of another {key.removesuffix('.source')}"
    return ""


def _another(keys: Sequence[str]) -> str:
    named = [CONTENTS.get(key, key) for key in keys[:MOST_NAMED]]
    return "of another " + ", ".join(named) + (", ..." if len(keys) > MOST_NAMED else "")


def _same_place(one: str | Path, other: str | Path) -> bool:
    """Whether two sources of weights are one; of paths the last two parts count, as a study may move, of the Hub the
    repository where a commit is not said."""
    if (same := same_repository(str(one), str(other))) is not None:
        return same
    return Path(one).parts[-2:] == Path(other).parts[-2:]


def _from_present(out: Path, key: str, before: PlannedRow, resolved: RunSpec, contents: Contents) -> bool:
    """Whether `resolved` took, at `key`, the weights of the finished run that the row `before` now has in `out`.

    Told by row and folder name, which carries that run's identity, so that a study may move to another place.
    """
    now = _holding(out, before, contents).of(PlannedRun(before, resolved.seed))
    taken = weights_taken(resolved).get(key)
    if now.folder is None or now.state != "finished" or taken is None:
        return False
    return _same_place(taken.place, now.folder.path)


OPEN: Final = (
    *("model.num_classes", "model.image_size", "data.image_size", "data.validation", "data.checksum", "model.channels"),
    *(key for keys in KNOWN_BY.values() for key in keys),
    "processes",
)
"""What resolving may fill in; plugins' digests are known when a study is planned."""
PLACES: Final = (START, TEACHER, "data.name")
"""What is no science where a digest or checksum says what was there."""
CONTENTS: Final = {
    "plugins.digest": "content of the plugin",
    "data.checksum": "content of the data",
    "model.start_from.digest": "content of the weights",
    "recipe.distil.teacher_digest": "content of the teacher's weights",
}
FROM: Final = {START: "from weights", TEACHER: "with a teacher"}
"""What a run has of another row, by the key of the place."""
MOST_NAMED: Final = 3


def differences(declared: RunSpec, resolved: RunSpec) -> list[str]:
    """The keys in which `resolved` is not what `declared` becomes when it is resolved."""
    return sorted(set(_differences(_compared(declared), _compared(resolved), "")))


def _compared(spec: RunSpec) -> dict[str, Any]:
    """What decides which run it is: the science, without the mends that follow from it."""
    values = spec.science()
    values.pop("revisions", None)
    return values


def _differences(declared: Any, resolved: Any, path: str) -> list[str]:
    if path == "recipe.precision" and declared in ("auto", "bf16_if_native"):
        return [] if resolved in {declared, "fp32", "bf16", *(["fp16"] if declared == "auto" else [])} else [path]
    if (path in OPEN and declared is None) or (path in PLACES and None in (declared, resolved)):
        return []
    if path in KNOWN_BY and str(declared).startswith(ROW):  # that row's run is told elsewhere
        return []
    if isinstance(declared, Mapping) and isinstance(resolved, Mapping):
        pairs = {key: (declared.get(key), resolved.get(key)) for key in sorted(set(declared) | set(resolved))}
        return [one for key, pair in pairs.items() for one in _differences(*pair, f"{path}.{key}".lstrip("."))]
    if isinstance(declared, list) and isinstance(resolved, list) and len(declared) == len(resolved):
        return [one for each in zip(declared, resolved, strict=True) for one in _differences(*each, path)]
    return [] if declared == resolved else [path]
