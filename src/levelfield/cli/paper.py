"""`levelfield paper`: a study as the parts of a paper, in LaTeX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.options import Margin, Verdict
from levelfield.cli.output import messages
from levelfield.cli.what_was_meant import folder_meant


def paper(
    study: Annotated[Path, typer.Argument(help="A study's folder or name, or any folder that holds runs.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write.", metavar="DIR")] = Path("paper"),
    baseline: Annotated[str | None, typer.Option(help="The row that others are compared with.")] = None,
    margin: Margin = None,
    verdict: Verdict = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a paper that is there.")] = False,
) -> None:
    """Write a study's table, figures, methods, compute statement and reproducibility checklist as LaTeX.

    Every number stands under a key that numbers.json leads to the runs it came from; `make -C DIR` compiles it.
    Example: `levelfield paper runs/quickstart --out paper`
    """
    from levelfield.paper.write_paper import write_paper
    from levelfield.tables import build_table, read_study

    table = build_table(read_study(folder_meant(study)), baseline, margin=margin, verdict=verdict)
    written = write_paper(table, out, force)
    messages.print(
        f"{out} holds {len(written)} files; make -C {out} compiles paper.pdf", soft_wrap=True, highlight=False
    )
