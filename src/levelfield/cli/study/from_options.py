"""What the options of a study command ask for: the study in its folder, an executor, an estimate of the time left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from levelfield.cli.output import messages
from levelfield.cli.study.options import Where
from levelfield.errors import UserError

if TYPE_CHECKING:
    from levelfield.studies.declared.study import StudySpec
    from levelfield.studies.results.run_folders import Found
    from levelfield.studies.results.study_request import StudyRequest
    from levelfield.studies.running.ray_cluster import RayCluster
    from levelfield.studies.running.time_estimate import Estimate


class AsAsked(NamedTuple):
    """A study, its folder, and what is asked for there."""

    study: StudySpec
    folder: Path
    asked: StudyRequest


def as_asked(
    name: str, scale: str | None, out: Path | None, set_: list[str] | None, plugin: list[str] | None,
    data_dir: str | None, *, to_train: bool = False,
) -> AsAsked:  # fmt: skip
    """The study, its folder, and what is asked for there: what the options say, else what the folder was run with.

    Raises UserError where the folder holds something else (`studies.results.study_request`).
    """
    from levelfield.studies.declared.study import StudySpec
    from levelfield.studies.results.run_folders import default_folder
    from levelfield.studies.results.study_request import StudyOptions, settle, settle_to_train

    study = StudySpec.load(name)
    folder = out or default_folder(study.name, scale or "full")
    settled = settle_to_train if to_train else settle
    asked = settled(study, folder, StudyOptions(scale, set_, plugin, data_dir))
    if set_ is None and asked.changes:
        messages.print(f"as {folder} was run: --set {' --set '.join(asked.changes)}", markup=False, highlight=False)
    return AsAsked(study, folder, asked)


@contextmanager
def executor_for(
    on: Where, parallel: int, address: str | None, cpus: int | None, gpus: float | None
) -> Iterator[RayCluster | None]:
    """The executor that the options ask for (None: the study's own), closed at the end.

    Raises UserError for options that do not belong together.
    """
    asked = {"--address": address, "--cpus-per-run": cpus, "--gpus-per-run": gpus}
    if on is Where.LOCAL:
        if given := [option for option, value in asked.items() if value is not None]:
            raise UserError(f"{given[0]} belongs to a Ray cluster; add --on ray")
        yield None
        return
    if parallel != 1:
        raise UserError("--parallel belongs to --on local; on Ray say what one run takes: --cpus-per-run 4")
    from levelfield.studies.running.ray_cluster import RayCluster

    # Ray prints what happens to its nodes on stdout, which is for results.
    with redirect_stdout(sys.stderr), closing(RayCluster(address, cpus=cpus, gpus=gpus)) as cluster:
        yield cluster


def timed_estimate(found: list[Found], parallel: int = 1) -> Estimate:
    """Seconds left of `found`, `parallel` runs at once, with progress on stderr."""
    from levelfield.progress import Progress
    from levelfield.studies.running.time_estimate import estimate

    with Progress() as progress:
        return estimate(found, progress, parallel)
