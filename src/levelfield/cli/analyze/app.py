"""The analyses together, each in a file of its own; the work is in `levelfield.analysis`."""

from __future__ import annotations

import typer

from levelfield.cli.analyze.compression import compression
from levelfield.cli.analyze.rank import rank

app = typer.Typer(help="Why is a network better? Feature ranks, and what remains of it when it is made smaller.",
                  no_args_is_help=True)  # fmt: skip
app.command("rank")(rank)
app.command("compression")(compression)
