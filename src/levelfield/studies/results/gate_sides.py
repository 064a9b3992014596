"""The two sides of a gate: a training that can be run at any seed, or finished runs that lie in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from levelfield.errors import UserError, unknown
from levelfield.runs import RunFolder, find_runs
from levelfield.spec import RunSpec
from levelfield.spec.weights_taken import START, rows_taken_from, with_rows_named
from levelfield.studies.declared.planned_runs import planned_rows
from levelfield.studies.declared.study import StudySpec
from levelfield.studies.results.run_folders import state_of
from levelfield.studies.results.study_json import read_failures
from levelfield.tables.audit.checks.settings import compared, is_science
from levelfield.tables.audit.compare_values import contrast, words


@dataclass(frozen=True)
class Side:
    """`spec`: what is to be trained, with its open fields filled in; None for `runs` that are finished, in the order of
    their seeds. `identity`: of what is trained, whatever the seed. `start`: what row's runs, seed by seed, it starts
    from. `failures`: of finished runs, which of their row have no result, and why."""

    name: str
    identity: str
    spec: RunSpec | None = None
    runs: tuple[RunFolder, ...] = ()
    start: str | None = None
    failures: tuple[str, ...] = ()

    @property
    def setting(self) -> RunSpec:
        """What is trained, or was: at one of its seeds."""
        return self.runs[0].spec() if self.spec is None else self.spec


def differing(base: Side, candidate: Side) -> dict[str, tuple[str, str]]:
    """The settings in which the two sides differ, as the audit of a table compares them, and in words as it says them:
    how runs are carried out is left out, and so is the seed."""
    found = contrast({"base": base.setting, "candidate": candidate.setting})
    differ = {
        key: (said["base"], said["candidate"]) for key, said in found.items() if compared(key) and is_science(key)
    }
    one, two = (_start(side) for side in (base, candidate))
    return differ if one == two else {**differ, "model.start_from": (one, two)}


def _start(side: Side) -> str:
    """What weights a side starts from: those of a row, seed by seed, or known by their digest."""
    start = side.setting.model.start_from
    return side.start or ("none" if start is None else words(start.digest or start.source))


def side_of_spec(name: str, resolved: RunSpec) -> Side:
    """A side that is trained."""
    return Side(name, identity_at_any_seed(resolved)[0], resolved)


def side_of_folder(folder: Path) -> Side:
    """The finished runs at or below `folder`, and what failed beside them. Raises UserError where none is finished, or
    where they are not of one training alone."""
    there = find_runs(folder)
    runs = [run for run in there if run.finished]
    if not runs:
        raise UserError(f"{folder} holds no finished run\ngive the folder of a run or of a row, or what to train")
    specs = {run: run.spec() for run in runs}
    identities = {identity_at_any_seed(spec) for spec in specs.values()}
    if len(identities) > 1:
        raise UserError(f"{folder} holds runs of {len(identities)} trainings\ngive the folder of one row of them")
    by_seed = {specs[run].seed: run for run in reversed(runs)}
    (found,) = identities
    failures = _failures(folder, [run for run in there if not run.finished])
    return Side(
        folder.name,
        found[0],
        runs=tuple(by_seed[seed] for seed in sorted(by_seed)),
        start=found[1],
        failures=tuple(f"seed {seed}: {why}" for seed, why in sorted(failures.items()) if seed not in by_seed),
    )


def _failures(folder: Path, unfinished: Sequence[RunFolder]) -> dict[int, str]:
    """By seed why there is no result: as the runs say, and the study whose row `folder` is."""
    of_row = f"{folder.name} seed "
    found = {
        int(run.removeprefix(of_row)): why.splitlines()[0]
        for run, why in read_failures(folder.parent).items()
        if run.startswith(of_row)
    }
    states = {run.spec().seed: state_of(run) for run in unfinished}
    return found | {seed: why for seed, (state, why) in states.items() if state == "failed"}


def identity_at_any_seed(spec: RunSpec) -> tuple[str, str | None]:
    """Of a resolved run: an identity that it shares with runs of other seeds, and the row from whose runs, seed by
    seed, it starts (None where it does not)."""
    row = rows_taken_from(spec).get(START)
    spec = with_rows_named(spec).changed({"seed": 0} | ({} if row is None else {"model.start_from": None}))
    identity = spec.identity()[:16]
    return (identity if row is None else f"{identity} after {row}"), row


def study_row(
    text: str, scale: str, overrides: Sequence[str], plugins: Sequence[str], data_dir: str | None
) -> RunSpec:  # fmt: skip
    """The run of STUDY:ROW, as declared. Raises UserError for an unknown one, or one that needs another row's."""
    study, _, name = text.rpartition(":")
    spec = StudySpec.load(study)
    rows = planned_rows(spec, scale, overrides=overrides, plugins=plugins, data_dir=data_dir)
    row = next((row for row in rows if row.name == name), None)
    if row is None:
        raise unknown(f"row in study {spec.name}", name, [row.name for row in rows])
    for what, before in (("starts from the weights of", row.after), ("is taught by", row.teacher)):
        if before is not None:
            raise UserError(
                f"row {name} {what} {before}, which a gate does not train\n"
                f"levelfield study run {study} --row {name}, then give the two rows' folders"
            )
    return row.spec
