"""The options of the study commands, each written once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from levelfield.cli.completion import studies
from levelfield.cli.options import Plugins, finite, plugin_files


class Stop(StrEnum):
    """When a study has enough runs."""

    DECIDED = "decided"


Name = Annotated[
    str,
    typer.Argument(
        help="A study's name (`levelfield study list`), a .yaml file, or the study's folder.", autocompletion=studies
    ),
]
Out = Annotated[Path | None, typer.Option(help="The study's folder. [default: runs/NAME, at a scale runs/NAME-SCALE]")]
ScaleName = Annotated[
    str | None,
    typer.Option(
        "--scale", help="full, cpu or smoke, as the study's file has them. [default: the folder's, else full]"
    ),
]
Seeds = Annotated[str | None, typer.Option(help="Instead of the file's: 3, or 0,4,7, or 5-8.")]
Rows = Annotated[list[str] | None, typer.Option("--row", help="Only rows that match (`*` allowed); may be repeated.")]
Until = Annotated[
    Stop | None,
    typer.Option(
        help="Instead of --seeds: in rounds, more seeds only for rows of which the question is still open.",
    ),
]
MaxSeeds = Annotated[int | None, typer.Option(help="With --until decided: seeds a row at most. [default: 10]")]
AUTO: Final = 0
"""Of `Parallel`: as many runs at once as a trial finds fastest."""


def _number_or_auto(given: str | int) -> int:
    """Raises typer.BadParameter."""
    text = str(given)
    if text == "auto":
        return AUTO
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"{text!r} is neither a number of runs, at least 1, nor auto")
    return int(text)


Parallel = Annotated[
    int | None,
    typer.Option(
        parser=_number_or_auto,
        metavar="N|auto",
        help="Runs at once, each in a process of its own; auto: as many as a short trial finds fastest. "
        "[default: auto where the work takes over a minute, else 1]",
    ),
]
SetAsRun = Annotated[
    list[str] | None,
    typer.Option("--set", help="As --set of `study run`; '' for none. [default: as the folder was run]"),
]
PluginsAsRun = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        help="As --plugin of `study run`; '' for none. [default: as the folder was run]",
        callback=plugin_files,
    ),
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Change a key of every row: budget.epochs=2. May be repeated.")
]
TO_TRAIN: Final = {"set_": Set, "plugin": Plugins}
"""What takes the place of `SetAsRun` and `PluginsAsRun` where a command trains: it takes nothing from the folder."""


class Where(StrEnum):
    """Where a study's runs are carried out."""

    LOCAL = "local"
    RAY = "ray"


On = Annotated[Where, typer.Option("--on", help="local: this machine; ray: a Ray cluster (an extra: levelfield[ray]).")]
Address = Annotated[
    str | None,
    typer.Option(
        help="The Ray cluster's HOST:PORT or ray://HOST:PORT. [default: RAY_ADDRESS, else the cluster of this machine, "
        "else one started here]"
    ),
]
CpusPerRun = Annotated[
    int | None, typer.Option(min=1, help="On Ray. [default: a GPU's share of its node, else up to 4]")
]
GpusPerRun = Annotated[
    float | None,
    typer.Option(min=0, callback=finite, help="On Ray; parts are allowed. [default: 1 where there are GPUs]"),
]
