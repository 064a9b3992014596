"""`levelfield report`: the table and the page of a folder of runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levelfield.cli.check_names import may_write
from levelfield.cli.options import DataDir, Json, Margin, Verdict
from levelfield.cli.output import console, messages, print_json
from levelfield.cli.what_was_meant import folder_meant
from levelfield.errors import UserError

if TYPE_CHECKING:
    from levelfield.tables.table import StudyTable


class Format(StrEnum):
    """How the table is printed; html writes the page; timm-*: the columns of timm's CSV files."""

    TERMINAL = "terminal"
    MD = "md"
    CSV = "csv"
    LATEX = "latex"
    JSON = "json"
    HTML = "html"
    TIMM_RESULTS = "timm-results"
    TIMM_BENCHMARK = "timm-benchmark"


def report(
    folder: Annotated[Path, typer.Argument(help="A study's folder, or any folder that holds runs.", metavar="DIR")],
    format: Annotated[Format, typer.Option("--format", "-f", help="What to print or write.")] = Format.TERMINAL,
    json: Json = False,
    baseline: Annotated[str | None, typer.Option(help="The row that others are compared with.")] = None,
    margin: Margin = None,
    verdict: Verdict = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write there instead; for html, DIR/report.html if not given.")
    ] = None,
    images: Annotated[bool, typer.Option(help="Show example images in the page (reads the data).")] = True,
    data_dir: DataDir = None,
) -> None:
    """Print the table of a study or of any runs, and write its page.

    Example: `levelfield report runs/quickstart` prints the table and writes `runs/quickstart/report.html`;
    `levelfield report runs/quickstart --format md` prints Markdown. With the page in a study's folder, its margin and
    rule are kept there for later tables.
    """
    from levelfield.page.page import write_page
    from levelfield.page.thumbnails import images_of
    from levelfield.runs import write_text
    from levelfield.studies.results.study_request import keep_rule
    from levelfield.tables import build_table, read_study
    from levelfield.tables.text.json import to_json
    from levelfield.tables.text.terminal import to_rich

    folder = folder_meant(folder)
    data = None if data_dir is None else str(data_dir)
    table = build_table(read_study(folder), baseline, data, margin=margin, verdict=verdict)
    form = Format.JSON if json else format
    if form is Format.JSON and out is None:
        print_json("report", to_json(table))
        return
    if form in (Format.TERMINAL, Format.HTML):
        if form is Format.TERMINAL:
            console.print(to_rich(table))
            if out is None and not may_write(folder):
                return
        page = out or folder / "report.html"
        pictures = None
        if images and table.measured:
            try:
                pictures = images_of(table, data_dir, page)
            except UserError as error:
                messages.print(f"no example images: {error}", highlight=False, markup=False)
        if out is None:
            keep_rule(folder, margin, verdict)
        write_page(table, page, pictures)
        messages.print(f"page: {page}", soft_wrap=True, highlight=False)
        return
    text = _as_text(table, form)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
        messages.print(f"written: {out}", soft_wrap=True, highlight=False)


def _as_text(table: StudyTable, form: Format) -> str:
    """The table in one of the forms that are a file's text."""
    from levelfield.tables.text.csv import to_csv
    from levelfield.tables.text.json import to_json_text
    from levelfield.tables.text.latex import to_latex
    from levelfield.tables.text.markdown import to_markdown
    from levelfield.tables.text.timm_csv import to_timm_benchmark, to_timm_results

    write = {
        Format.MD: to_markdown,
        Format.CSV: to_csv,
        Format.LATEX: to_latex,
        Format.JSON: to_json_text,
        Format.TIMM_RESULTS: to_timm_results,
        Format.TIMM_BENCHMARK: to_timm_benchmark,
    }[form]
    return write(table)
