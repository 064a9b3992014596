"""Long work says first how long it will take, and asks."""

from __future__ import annotations

import sys

import typer

from levelfield.cli.output import messages
from levelfield.units import duration

LONG_S = 600.0
"""Work expected to take longer than this asks first."""


def confirm_long_work(seconds: float, what: str, yes: bool) -> None:
    """Print the estimate where it exceeds ten minutes, and ask unless `yes`. Ends the program where the answer is no.

    Where stdin is no terminal nobody can answer: the estimate is printed and the work begins.
    """
    if seconds <= LONG_S:
        return
    messages.print(f"{what} will take about {duration(seconds)} on this machine", highlight=False)
    messages.print("stop it at any time (Ctrl-C): the same command goes on from there", highlight=False)
    if yes:
        return
    if not sys.stdin.isatty():
        messages.print("stdin is no terminal, so nobody is asked (--yes says so beforehand)", highlight=False)
        return
    try:
        goes_on = typer.confirm("Go on?", default=True, err=True)
    except typer.Abort:  # Ctrl-C or the end of stdin is a no, too
        goes_on = False
    if not goes_on:
        raise typer.Exit(130)  # as interrupted: no exit code that a command gives for an answer
