"""The command line's root. Each command lives in a module of its own, which imports torch only when it runs."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer

from levelfield.cli import ablate as ablate_command
from levelfield.cli import data as data_command
from levelfield.cli import eval as eval_command
from levelfield.cli import gate as gate_command
from levelfield.cli import hub as hub_command
from levelfield.cli import models as models_command
from levelfield.cli import profile as profile_command
from levelfield.cli import train as train_command
from levelfield.cli.analyze.app import app as analyze_app
from levelfield.cli.card import card
from levelfield.cli.export import export
from levelfield.cli.init import init
from levelfield.cli.missing_packages import what_to_install
from levelfield.cli.output import messages, writable_in_any_encoding
from levelfield.cli.paper import paper
from levelfield.cli.plain_errors import PlainErrors
from levelfield.cli.predict import predict
from levelfield.cli.record import record
from levelfield.cli.report import report
from levelfield.cli.scale import scale
from levelfield.cli.schema import schema
from levelfield.cli.shrink import shrink
from levelfield.cli.study.app import app as study_app
from levelfield.errors import INTERNAL_ERROR, UserError
from levelfield.thread_waiting import spin_briefly

UNREAD: Final = 141
"""The exit code where stdout was closed, as a shell knows it from SIGPIPE."""


def _say_version(asked: bool) -> None:
    """Print the version and end."""
    if asked:
        from importlib.metadata import version

        typer.echo(f"levelfield {version('levelfield')}")
        raise typer.Exit


app = typer.Typer(
    name="levelfield",
    cls=PlainErrors,
    help="Find out, honestly and fast, which image classifier is better.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Say which levelfield this is.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """Find out, honestly and fast, which image classifier is better."""


app.add_typer(data_command.app, name="data")
app.command("init")(init)
app.command("models")(models_command.models)
app.command("train")(train_command.train)
app.add_typer(study_app, name="study")
app.command("ablate")(ablate_command.ablate)
app.command("scale")(scale)
app.command("gate")(gate_command.gate)
app.command("eval")(eval_command.evaluate)
app.command("predict")(predict)
app.command("export")(export)
app.command("shrink")(shrink)
app.command("profile")(profile_command.profile)
app.add_typer(analyze_app, name="analyze")
app.command("report")(report)
app.command("card")(card)
app.add_typer(hub_command.app, name="hub")
app.command("paper")(paper)
app.command("record")(record)
app.command("schema")(schema)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 2 bad input, 70 internal error (log named), 130 interrupted, 141 nobody
    reads what is written. 1 is no failure: it is the gate's answer "not better"."""
    spin_briefly(os.environ)
    # What Apple's MPS lacks, torch then computes on the CPU, with a warning. Read when torch is loaded, too.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    for stream in (sys.stdout, sys.stderr):
        writable_in_any_encoding(stream)
    interruptions: list[int] = []
    try:
        _remember_interruptions(interruptions)
        app(prog_name="levelfield")  # also where Python runs the module, whose own name no shell completes
    except UserError as error:
        messages.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == 130:  # typer's exit code of a KeyboardInterrupt
            _say_interrupted()
        if isinstance(stop.__context__, BrokenPipeError):  # which typer ends with 1
            sys.exit(UNREAD)
        raise
    except KeyboardInterrupt:  # before typer takes over
        _say_interrupted()
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(UNREAD)
    except Exception as error:
        if interruptions:
            _say_interrupted()
            sys.exit(130)
        if (known := what_to_install(error) or _in_users_code(error)) is not None:
            messages.print(f"error: {known}", style="red", markup=False, highlight=False, soft_wrap=True)
            sys.exit(2)
        log = Path(tempfile.mkdtemp(prefix="levelfield-")) / "error.log"
        log.write_text(f"{' '.join(sys.argv)}\n\n{traceback.format_exc()}", encoding="utf-8")
        messages.print(
            f"internal error: {type(error).__name__}: {error}\nThis is a bug in levelfield; the traceback is in {log}",
            style="red", markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
        sys.exit(INTERNAL_ERROR)


def _in_users_code(error: Exception) -> UserError | None:
    """`error` as one of the user's own code; None where it is not, or no plugin can have been loaded."""
    if "levelfield.models" not in sys.modules:
        return None
    from levelfield.models.users_code import failed_in_plugin

    return failed_in_plugin(error)


def _remember_interruptions(came: list[int]) -> None:
    """Ctrl-Cs to come: libraries that are interrupted while they are imported may swallow one and fail otherwise."""

    def remember(number: int, frame: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, remember)


def _say_interrupted() -> None:
    if os.environ.get("RANK", "0") != "0":  # of several processes under torchrun one says it
        return
    messages.print("interrupted; the same command goes on where it stopped", style="yellow", soft_wrap=True)
