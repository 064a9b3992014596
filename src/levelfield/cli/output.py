"""Where a command writes: results to stdout, everything else to stderr; `--json` leaves nothing but JSON on stdout."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

console = Console()
"""Results for a person (tables). NO_COLOR and a stdout that is no terminal are honoured by Rich."""

messages = Console(stderr=True)
"""Progress, notes, warnings and errors."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")]
DataDir = Annotated[
    str | None,
    typer.Option("--data-dir", envvar="LEVELFIELD_DATA", help="Folder that holds the data sets.", show_default=False),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="A Python file that registers your own models; may be repeated.", show_default=False),
]


def print_json(value: Any) -> None:
    """Write `value` (plain JSON values) to stdout, indented, and flush."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()
