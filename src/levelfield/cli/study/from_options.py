"""What the options of a study command ask for: the study in its folder, an executor, an estimate of the time left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from levelfield.cli.options import DataDir
from levelfield.cli.output import messages
from levelfield.cli.study.options import TO_TRAIN, Name, Out, PluginsAsRun, ScaleName, SetAsRun, Where
from levelfield.cli.what_was_meant import study_meant
from levelfield.errors import UserError

if TYPE_CHECKING:
    from levelfield.studies.declared.study import StudySpec
    from levelfield.studies.results.run_folders import Found
    from levelfield.studies.results.study_request import StudyOptions, StudyRequest
    from levelfield.studies.running.ray_cluster import RayCluster
    from levelfield.studies.running.time_estimate import Estimate


PAGES: Final = (".html", ".md", ".tex", ".csv", ".json")
"""What files of results end with, and folders do not."""


class OpenedStudy(NamedTuple):
    """A study, its folder, and what is asked for there; `said`: what of it the options say."""

    study: StudySpec
    folder: Path
    asked: StudyRequest
    said: StudyOptions


def open_study(
    name: Name,
    scale: ScaleName = None,
    set_: SetAsRun = None,
    out: Out = None,
    data_dir: DataDir = None,
    plugin: PluginsAsRun = None,
    *,
    to_train: bool = False,
) -> OpenedStudy:
    """The study as the options say, else as its folder was run; `to_train`: what changes its runs must be said.

    Raises UserError where the folder holds something else (`studies.results.study_request`).
    """
    from levelfield.studies.declared.study import StudySpec
    from levelfield.studies.results.run_folders import default_folder
    from levelfield.studies.results.study_request import StudyOptions, settle, settle_to_train

    if out is not None and out.suffix in PAGES:
        raise UserError(
            f"--out {out} is no folder, and is the study's folder here: it gets report.html\n"
            f"for a page elsewhere: levelfield report FOLDER --out {out}"
        )
    name, out = study_meant(name, out)
    study = StudySpec.load(name)
    folder = out or default_folder(study.name, scale or "full")
    said = StudyOptions(scale, set_, plugin, data_dir)
    asked = (settle_to_train if to_train else settle)(study, folder, said)
    if set_ is None and asked.changes:
        messages.print(f"as {folder} was run: --set {' --set '.join(asked.changes)}", markup=False, highlight=False)
    return OpenedStudy(study, folder, asked, said)


def on_a_study(command: Callable[..., None], *, to_train: bool = False) -> Callable[..., None]:
    """`command` with the options of `open_study` in place of its first parameter, which is the study that they open."""
    *options, _ = signature(open_study, eval_str=True).parameters.values()
    if to_train:
        options = [option.replace(annotation=TO_TRAIN.get(option.name, option.annotation)) for option in options]
    _, *own = signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def on_opened(**given: Any) -> None:
        opened = open_study(**{option.name: given.pop(option.name) for option in options}, to_train=to_train)
        command(opened, **given)

    on_opened.__signature__ = Signature([*options, *own])  # type: ignore[attr-defined]
    on_opened.__annotations__ = {each.name: each.annotation for each in (*options, *own)}
    return on_opened


@contextmanager
def executor_for(
    on: Where, parallel: int | None, address: str | None, cpus: int | None, gpus: float | None
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
    if parallel is not None:
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
