"""The options that the study commands share, and the estimate that they print."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levelfield.cli.output import messages
from levelfield.errors import UserError

if TYPE_CHECKING:
    from levelfield.studies.declared.study import StudySpec
    from levelfield.studies.results.request import Asked
    from levelfield.studies.results.run_folders import Found
    from levelfield.studies.running.ray_cluster import RayCluster
    from levelfield.studies.running.time_estimate import Estimate

Name = Annotated[str, typer.Argument(help="A study's name (`levelfield study list`) or a .yaml file.")]
Out = Annotated[Path | None, typer.Option(help="The study's folder. [default: runs/NAME, at a scale runs/NAME-SCALE]")]
ScaleName = Annotated[
    str | None,
    typer.Option("--scale", help="full, cpu or smoke, as the study's file has them. [default: the folder's, else full]",
                 show_default=False),
]  # fmt: skip
Seeds = Annotated[str | None, typer.Option(help="Instead of the file's: 3, or 0,4,7, or 5-8.", show_default=False)]
Rows = Annotated[list[str] | None, typer.Option("--row", help="Only rows that match (`*` allowed); may be repeated.")]
Parallel = Annotated[int, typer.Option(min=1, help="Runs at once, each in a process of its own.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Change a key of every row: budget.epochs=2. May be repeated.")
]
SetAsRun = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="As --set of `study run`; '' for none. [default: as the folder was run]", show_default=False
    ),
]
PluginsAsRun = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="As --plugin of `study run`; '' for none. [default: as the folder was run]",
                 show_default=False),
]  # fmt: skip


class Where(StrEnum):
    """Where a study's runs are carried out."""

    LOCAL = "local"
    RAY = "ray"


On = Annotated[Where, typer.Option("--on", help="local: this machine; ray: a Ray cluster (an extra: levelfield[ray]).")]
Address = Annotated[
    str | None,
    typer.Option(
        help="The Ray cluster's HOST:PORT or ray://HOST:PORT. [default: RAY_ADDRESS, else the cluster of this machine, "
        "else one started here]",
        show_default=False,
    ),
]
CpusPerRun = Annotated[
    int | None,
    typer.Option(min=1, help="On Ray. [default: a GPU's share of its node, else up to 4]", show_default=False),
]
GpusPerRun = Annotated[
    float | None,
    typer.Option(min=0, help="On Ray; parts are allowed. [default: 1 where there are GPUs]", show_default=False),
]


def as_asked(
    name: str, scale: str | None, out: Path | None, set_: list[str] | None, plugin: list[str] | None,
    data_dir: str | None, *, to_train: bool = False,
) -> tuple[StudySpec, Path, Asked]:  # fmt: skip
    """The study, its folder, and what is asked for there: what the options say, else what the folder was run with.

    Raises UserError where the folder holds something else (`studies.results.request`).
    """
    from levelfield.studies.declared.study import StudySpec
    from levelfield.studies.results.request import StudyOptions, settle, settle_to_train
    from levelfield.studies.results.run_folders import default_folder

    study = StudySpec.load(name)
    folder = out or default_folder(study.name, scale or "full")
    settled = settle_to_train if to_train else settle
    asked = settled(study, folder, StudyOptions(scale, set_, plugin, data_dir))
    if set_ is None and asked.changes:
        messages.print(f"as {folder} was run: --set {' --set '.join(asked.changes)}", markup=False, highlight=False)
    return study, folder, asked


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
