"""The analyses together, each in a file of its own; the work is in `levelfield.analysis`."""

from __future__ import annotations

import typer

from levelfield.cli.analyze.all import all_of_them
from levelfield.cli.analyze.attention import attention
from levelfield.cli.analyze.calibration import calibration
from levelfield.cli.analyze.compression import compression
from levelfield.cli.analyze.curves import curves
from levelfield.cli.analyze.energy import energy
from levelfield.cli.analyze.errors import errors
from levelfield.cli.analyze.overlays import overlays
from levelfield.cli.analyze.rank import rank
from levelfield.cli.analyze.robustness import robustness

app = typer.Typer(help="Why is a network better? Its confidence, errors and features, and how much of it is needed.",
                  no_args_is_help=True)  # fmt: skip
app.command("all")(all_of_them)
app.command("rank")(rank)
app.command("calibration")(calibration)
app.command("errors")(errors)
app.command("curves")(curves)
app.command("attention")(attention)
app.command("overlays")(overlays)
app.command("robustness")(robustness)
app.command("energy")(energy)
app.command("compression")(compression)
