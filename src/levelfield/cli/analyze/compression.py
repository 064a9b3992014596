"""`levelfield analyze compression`: the compression ladder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from levelfield.cli.options import Json
from levelfield.cli.output import console, print_json


def compression(
    folders: Annotated[list[Path], typer.Argument(help="Folders that hold the ladder's finished runs.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for compression.json and the chart (default: where a study's page shows it)."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Accuracy against parameters, MACs, size on disk and measured CPU latency, over finished runs of one recipe.

    Example: levelfield analyze compression runs/compression-rexnet-cpu. With --out STUDY/analysis (the default for one
    folder) the page of the study shows it from then on: levelfield report STUDY.
    """
    from levelfield.analysis.compression_ladder import chart, rungs
    from levelfield.analysis.rank_figure import save
    from levelfield.runs import write_json

    out = out or (folders[0] / "analysis" if len(folders) == 1 else Path("compression"))
    ladder = rungs(folders)
    values = [
        {**vars(rung), "top1": list(rung.top1), "top1_mean": rung.mean, "top1_std": rung.deviation} for rung in ladder
    ]
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "compression.json", values)
    save(chart(ladder, "What remains when it is made smaller"), out / "compression")
    if json:
        print_json(values)
        return
    table = Table(title="the ladder, largest first", box=None, padding=(0, 1))
    for name in ("model", "top-1 %", "seeds", "steps", "params M", "MACs M", "MiB", "CPU ms"):
        table.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    for rung in ladder:
        spread = "" if rung.deviation is None else f" ± {rung.deviation:.2f}"
        table.add_row(
            rung.model, f"{rung.mean:.2f}{spread}", str(len(rung.top1)), str(rung.steps), f"{rung.params_m:.2f}",
            f"{rung.macs_m:.1f}", f"{rung.size_mib:.1f}", f"{rung.latency_ms:.1f}",
        )  # fmt: skip
    console.print(table)
    console.print(f"{out / 'compression.json'}, compression.png, compression.svg", soft_wrap=True)
