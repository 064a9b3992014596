"""The study commands together. Each lives in a file of its own; the work is in `levelfield.studies`."""

from __future__ import annotations

import typer

from levelfield.cli.study.list import list_
from levelfield.cli.study.merge import merge
from levelfield.cli.study.pick import pick
from levelfield.cli.study.plan import plan
from levelfield.cli.study.remove import remove
from levelfield.cli.study.report import report
from levelfield.cli.study.run import run
from levelfield.cli.study.status import status
from levelfield.cli.study.sweep import sweep

app = typer.Typer(no_args_is_help=True, help="Compare models over seeds: plan, run, look, merge, pick.")

app.command("list")(list_)
app.command("plan")(plan)
app.command("run")(run)
app.command("status")(status)
app.command("report")(report)
app.command("pick")(pick)
app.command("sweep")(sweep)
app.command("merge")(merge)
app.command("rm")(remove)
