"""What Typer says of wrong options: in Rich's box on a terminal, elsewhere as one plain line, like levelfield's own."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from levelfield.cli.guessed_options import meant
from levelfield.cli.output import messages


class PlainErrors(TyperGroup):
    """The root of the commands."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named; a guessed option ends in a UserError that names the key."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if (said := meant(error)) is not None:
                raise said from None
            raise

    def main(self, *given: Any, **options: Any) -> Any:
        """Run a command and end the program with its exit code."""
        if not options.get("standalone_mode", True) or sys.stderr.isatty():
            return super().main(*given, **options)
        try:
            code = super().main(*given, **{**options, "standalone_mode": False})
        except typer.Abort:
            messages.print("aborted", highlight=False)
            sys.exit(1)
        except Exception as error:
            # Click's own, of which Typer brings a copy under another name: told by what it has.
            said, number = getattr(error, "format_message", None), getattr(error, "exit_code", None)
            if said is None or number is None:
                raise
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()  # type: ignore[attr-defined]
            else:
                context = getattr(error, "ctx", None)
                command = getattr(context, "command_path", "levelfield")
                line = " ".join(str(said()).split())
                messages.print(f"error: {line}\n{command} --help says what it takes", markup=False, highlight=False)
            sys.exit(number)
        sys.exit(code if isinstance(code, int) else 0)
