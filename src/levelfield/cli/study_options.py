"""The options that the study commands share, and the estimate that they print."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levelfield.errors import UserError

if TYPE_CHECKING:
    from levelfield.studies.estimate import Estimate
    from levelfield.studies.found import Found
    from levelfield.studies.ray_cluster import RayCluster

Name = Annotated[str, typer.Argument(help="A study's name (`levelfield study list`) or a .yaml file.")]
Out = Annotated[Path | None, typer.Option(help="The study's folder. [default: runs/NAME, at a scale runs/NAME-SCALE]")]
ScaleName = Annotated[str, typer.Option("--scale", help="full, cpu or smoke, as the study's file declares them.")]
Seeds = Annotated[str | None, typer.Option(help="Instead of the file's: 3, or 0,4,7, or 5-8.", show_default=False)]
Rows = Annotated[list[str] | None, typer.Option("--row", help="Only rows that match (`*` allowed); may be repeated.")]
Parallel = Annotated[int, typer.Option(min=1, help="Runs at once, each in a process of its own.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Change a key of every row: budget.epochs=2. May be repeated.")
]


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
    from levelfield.studies.ray_cluster import RayCluster

    # Ray prints what happens to its nodes on stdout, which is for results.
    with redirect_stdout(sys.stderr), closing(RayCluster(address, cpus=cpus, gpus=gpus)) as cluster:
        yield cluster


def timed_estimate(found: list[Found], parallel: int = 1) -> Estimate:
    """Seconds left of `found`, `parallel` runs at once, with progress on stderr."""
    from levelfield.progress import Progress
    from levelfield.studies.estimate import estimate

    with Progress() as progress:
        return estimate(found, progress, parallel)
