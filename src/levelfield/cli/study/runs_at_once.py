"""How many runs a command trains at once, and how long that takes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from levelfield.cli.output import messages
from levelfield.cli.study.from_options import timed_estimate
from levelfield.cli.study.options import AUTO
from levelfield.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from levelfield.studies.results.run_folders import Found
    from levelfield.studies.running.choose_parallel import Trial
    from levelfield.studies.running.time_estimate import Estimate

WORTH_A_TRIAL_S: Final = 60.0
"""Work that takes longer is worth a trial of about ten seconds."""


class AtOnce(NamedTuple):
    """`parallel` runs at once, what they are expected to take, and the trial that chose so, if one was made."""

    parallel: int
    timed: Estimate
    trial: Trial | None = None


def settle(parallel: int | None, found: list[Found], folder: Path, times: float = 1.0) -> AtOnce:
    """How many runs of `found` at once.

    Args:
        parallel: as `--parallel` gives it. None: what a trial on such a machine recorded in `folder`, else by a trial
            where the work is worth one, else 1.
        times: how much work is to come for each second of `found` (a sweep's later trials).

    Raises:
        UserError: a trial that was asked for cannot be made.
    """
    from levelfield.studies.running.choose_parallel import recorded_choice

    if parallel is None:
        parallel = recorded_choice(folder)
    if parallel == AUTO:
        trial = _trial(found)
        chosen = 1 if trial is None else trial.chosen
        return AtOnce(chosen, timed_estimate(found, chosen), trial)
    if parallel is not None:
        return AtOnce(parallel, timed_estimate(found, parallel))
    alone = timed_estimate(found)
    if alone.left_s * times <= WORTH_A_TRIAL_S:
        return AtOnce(1, alone)
    try:
        trial = _trial([one for one in found if one.run.row.home not in alone.impossible])
    except UserError as error:
        messages.print(f"one run at a time: {error}", markup=False, highlight=False)
        return AtOnce(1, alone)
    return AtOnce(1, alone) if trial is None else AtOnce(trial.chosen, _at_once(alone, trial), trial)


def record(trial: Trial | None, folder: Path) -> None:
    """Keep what a trial chose in the study's folder, for the next time."""
    if trial is not None:
        trial.record(folder)


def _trial(found: list[Found]) -> Trial | None:
    """The trial, where there is something to try, and its outcome said."""
    from levelfield.progress import Progress
    from levelfield.studies.running.choose_parallel import try_parallel

    with Progress() as progress:
        trial = try_parallel(found, progress)
    if trial is not None:
        how = "is fastest here" if trial.chosen == 1 else f"train {trial.faster:.2g} times as fast as one here"
        messages.print(f"tried: {trial.chosen} run{'s' * (trial.chosen > 1)} at once {how}", highlight=False)
    return trial


def _at_once(alone: Estimate, trial: Trial) -> Estimate:
    """What `alone` says of one run at a time, for the way that the trial chose."""
    longer = trial.chosen / trial.faster
    each = {row: seconds * longer for row, seconds in alone.per_run_s.items()}
    return replace(alone, per_run_s=each, left_s=max(alone.left_s / trial.faster, *each.values()))
