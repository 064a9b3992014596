"""The options that the study commands share, and the estimate that they print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from levelfield.studies.estimate import Estimate
    from levelfield.studies.found import Found

Name = Annotated[str, typer.Argument(help="A study's name (`levelfield study list`) or a .yaml file.")]
Out = Annotated[Path | None, typer.Option(help="The study's folder. [default: runs/NAME, at a scale runs/NAME-SCALE]")]
ScaleName = Annotated[str, typer.Option("--scale", help="full, cpu or smoke, as the study's file declares them.")]
Seeds = Annotated[str | None, typer.Option(help="Instead of the file's: 3, or 0,4,7, or 5-8.", show_default=False)]
Rows = Annotated[list[str] | None, typer.Option("--row", help="Only rows that match (`*` allowed); may be repeated.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Change a key of every row: budget.epochs=2. May be repeated.")
]


def timed_estimate(found: list[Found]) -> Estimate:
    """Seconds left of `found`, with progress on stderr."""
    from levelfield.progress import Progress
    from levelfield.studies.estimate import estimate

    with Progress() as progress:
        return estimate(found, progress)
