"""The reference of every command, from the command line itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

KINDS = {"str": "text", "int": "whole number", "int range": "whole number", "float": "number"}
KINDS |= {"float range": "number", "list[str]": "text, repeatable"}


def commands() -> str:
    """Markdown: of every command its usage, its help, its arguments and options."""
    from levelfield.cli.app import app

    root = get_command(app)
    return "\n".join(_page(context) for context in every_command(root))


def every_command(root: Any) -> Iterator[Any]:
    """The contexts of all commands below `root`, in the order of --help; groups come before what they hold."""
    root_context = type(root).context_class(root, info_name="levelfield")
    waiting = [root_context]
    while waiting:
        context = waiting.pop(0)
        if context is not root_context:
            yield context
        below = getattr(context.command, "commands", {})
        waiting = [
            type(context)(command, info_name=name, parent=context)
            for name, command in below.items()
            if not command.hidden
        ] + waiting


def _page(context: Any) -> str:
    command, path = context.command, context.command_path
    group = bool(getattr(command, "commands", {}))
    lines = [f"{'##' if path.count(' ') == 1 else '###'} {path}", "", _unindented(command.help or ""), ""]
    if group:
        return "\n".join(lines)
    lines += ["```text", " ".join([path, *command.collect_usage_pieces(context)]), "```", ""]
    rows = [row for parameter in command.get_params(context) if (row := _row(parameter, context)) is not None]
    if rows:
        lines += ["| | type | default | |", "|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(parameter: Any, context: Any) -> str | None:
    """The line of an argument or option; the names that typer gives them are those of the version that is pinned."""
    if parameter.name == "help" or parameter.hidden:
        return None
    option = parameter.param_type_name == "option"
    names = [*parameter.opts, *parameter.secondary_opts] if option else [parameter.metavar or parameter.name]
    kind = "" if option and parameter.is_flag else parameter.display_type(context).strip("<>").replace("|", ", ")
    plain = getattr(parameter.default, "value", parameter.default)
    default = "" if plain in (None, False) or not parameter.show_default else f"`{plain}`"
    if parameter.required:
        default = "required"
    text = parameter.help or ""
    if parameter.envvar is not None:
        text += f" Or `{parameter.envvar}` in the environment."
    shown = ", ".join(f"`{name}`" for name in names)
    return f"| {shown} | {_cell(KINDS.get(kind, kind))} | {_cell(default)} | {_cell(text)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _unindented(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines())
