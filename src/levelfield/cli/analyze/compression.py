"""`levelfield analyze compression`: the compression ladder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.options import Json
from levelfield.cli.output import console, print_json, show_table


def compression(
    folders: Annotated[list[Path], typer.Argument(help="Folders of the ladder's finished runs, and of their exports.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for compression.json and the chart (default: where a study's page shows it)."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Accuracy against parameters, MACs, size on disk, measured CPU latency and, where the processor has a meter that
    can be read, energy, over finished runs of one recipe.

    Runs that were pruned, cut, taught or trained to int8 are rungs too, each with what it was made of; and so are the
    files that `levelfield export` made of them, with what it measured of these.

    Example: levelfield analyze compression runs/compression-rexnet-cpu. With --out STUDY/analysis (the default for one
    folder of runs) the page of the study shows it from then on: levelfield report STUDY.
    """
    from levelfield.analysis.compression_ladder import rungs
    from levelfield.analysis.feature_ranks.rank_figure import save
    from levelfield.analysis.ladder_chart import ladder_chart
    from levelfield.runs import find_runs, write_json
    from levelfield.tables.text.ladder import NUMBERS, cells, headings, notes

    of_runs = [folder for folder in folders if len(folders) == 1 or find_runs(folder)]
    out = out or (of_runs[0] / "analysis" if len(of_runs) == 1 else Path("compression"))
    ladder = rungs(folders)
    values = [rung.as_json() for rung in ladder]
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "compression.json", values)
    save(ladder_chart(ladder, "What remains when it is made smaller"), out / "compression")
    if json:
        print_json("analyze compression", {"ladder": values})
        return
    under = headings(values)
    show_table(under, [cells(rung, under) for rung in values], NUMBERS, title="the ladder, largest first")
    for said in notes(values):
        console.print(said, highlight=False)
    console.print(f"{out / 'compression.json'}, compression.png, compression.svg", soft_wrap=True)
