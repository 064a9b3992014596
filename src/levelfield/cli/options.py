"""Options that several commands have, each written once."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")]
DataDir = Annotated[
    str | None, typer.Option("--data-dir", envvar="LEVELFIELD_DATA", help="Folder that holds the data sets.")
]
Plugins = Annotated[
    list[str] | None, typer.Option("--plugin", help="A Python file that registers your own models; may be repeated.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
