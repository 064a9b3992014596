"""Options that several commands have, each written once."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated

import typer

from levelfield.cli.output import only_json


def finite(number: float | None) -> float | None:
    """The callback of every option of a fraction. Raises typer.BadParameter for nan and infinity, which float() reads
    and no limit of Click's keeps out: no comparison with nan is ever true, and nothing reaches infinity."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number:g} is no number that can be compared with; give a finite one")
    return number


def plugin_files(paths: list[str] | None) -> list[str]:
    """The callback of --plugin: raises UserError for what is no Python file, before torch is loaded; '' means none."""
    from levelfield.known_models import plugin_file

    for path in paths or []:
        if path:
            plugin_file(path)
    return paths or []  # typer 0.16 counts what a callback gives back


Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.", callback=only_json)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")]
OnlyWrite = Annotated[bool, typer.Option("--only-write", help="Write the study file, and train nothing.")]
DataDir = Annotated[
    str | None, typer.Option("--data-dir", envvar="LEVELFIELD_DATA", help="Folder that holds the data sets.")
]
Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin", help="A Python file that registers your own models; may be repeated.", callback=plugin_files
    ),
]


class Rule(StrEnum):
    """By which rule a table claims differences."""

    USUAL = "usual"
    STRICT = "strict"


Margin = Annotated[
    float | None,
    typer.Option(
        help="Points of top-1 within which rows are called equivalent. [default: as last said of the study, else 0.5]",
        callback=finite,
        show_default=False,
    ),
]
Verdict = Annotated[
    Rule | None,
    typer.Option(
        "--verdict",
        help="strict: a difference is claimed only where BCa and an exact permutation test agree. [default: as last "
        "said of the study, else usual]",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
