"""`levelfield study report`: the table of a study as it stands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from levelfield.cli.check_names import may_write
from levelfield.cli.options import Json, Margin, Verdict
from levelfield.cli.output import console, messages, print_json
from levelfield.cli.study.from_options import OpenedStudy, on_a_study

if TYPE_CHECKING:
    from levelfield.tables.table import StudyTable


@on_a_study
def report(opened: OpenedStudy, margin: Margin = None, verdict: Verdict = None, json: Json = False) -> None:
    """Print a study's table, every row in it, `not run` where nothing was measured; write it where runs are.

    Changes and plugins are those that the folder was run with; with others (--set) the table is printed, not written.
    The margin and the rule of its verdicts are kept with the folder: later tables of it are decided alike.
    Example: `levelfield study report outgrid-cifar100`
    """
    from levelfield.studies.results.study_request import judged
    from levelfield.studies.results.write_outputs import is_of, report_study, table_for

    study, folder, asked, _ = opened
    asked = judged(asked, folder, margin, verdict)
    written = is_of(folder, asked) and may_write(folder)
    table = (report_study if written else table_for)(study, folder, asked)
    show_table("study report", table, folder, json, written)


def show_table(command: str, table: StudyTable, folder: Path, json: bool, written: bool = True) -> None:
    """Print a table as the answer of `command`; where it was `written`, name its page too."""
    from levelfield.tables.text.json import to_json
    from levelfield.tables.text.terminal import to_rich

    if json:
        print_json(command, to_json(table))
        return
    console.print(to_rich(table))
    if not table.measured and table.study.command:
        messages.print(f"no run counts yet; this makes them:\n{_command(table, folder)}", markup=False, soft_wrap=True)
    if written and (folder / "report.html").is_file():
        console.print(f"page: {folder / 'report.html'}", highlight=False)


def _command(table: StudyTable, folder: Path) -> str:
    """The command that makes the table's runs, in `folder`."""
    from levelfield.studies.results.study_request import out_option

    option = shlex.join(out_option(table.study.name, table.study.scale or "full", folder))
    return "\n".join(f"{line} {option}".rstrip() for line in table.study.command.splitlines())
