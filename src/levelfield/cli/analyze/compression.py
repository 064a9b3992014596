"""`levelfield analyze compression`: the compression ladder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.options import Json
from levelfield.cli.output import console, print_json, show_table
from levelfield.units import short, size


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
    """Accuracy against parameters, MACs, size on disk and measured CPU latency, over finished runs of one recipe.

    Runs that were pruned, cut, taught or trained to int8 are rungs too, each with what it was made of; and so are the
    files that `levelfield export` made of them, with what it measured of these.

    Example: levelfield analyze compression runs/compression-rexnet-cpu. With --out STUDY/analysis (the default for one
    folder of runs) the page of the study shows it from then on: levelfield report STUDY.
    """
    from levelfield.analysis.compression_ladder import chart, rungs
    from levelfield.analysis.feature_ranks.rank_figure import save
    from levelfield.runs import find_runs, write_json

    of_runs = [folder for folder in folders if len(folders) == 1 or find_runs(folder)]
    out = out or (of_runs[0] / "analysis" if len(of_runs) == 1 else Path("compression"))
    ladder = rungs(folders)
    values = [
        {**vars(rung), "top1": list(rung.top1), "top1_mean": rung.mean, "top1_std": rung.deviation} for rung in ladder
    ]
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "compression.json", values)
    save(chart(ladder, "What remains when it is made smaller"), out / "compression")
    if json:
        print_json("analyze compression", {"ladder": values})
        return
    rows, made = [], any(rung.done for rung in ladder)
    for rung in ladder:
        spread = "" if rung.deviation is None else f" ± {rung.deviation:.2f}"
        beside = "" if rung.torch_latency_ms is None else f" ({rung.torch_latency_ms:.1f})"
        latency = f"{rung.latency_ms:.1f}{beside}"
        costs = short(1e6 * rung.params_m), short(1e6 * rung.macs_m), size(rung.size_mib), latency
        origin = (rung.parent or "", rung.done) if made else ()
        accuracy = f"{rung.mean:.2f}{spread}", str(len(rung.top1)), f"{rung.steps:,}"
        rows.append((rung.model, *origin, *accuracy, *costs))
    names = ("model", "started from", "what was done") if made else ("model",)
    numbers = ("top-1 %", "seeds", "steps", "params", "MACs", "on disk", "CPU ms")
    show_table((*names, *numbers), rows, numbers, title="the ladder, largest first")
    if any(rung.torch_latency_ms is not None for rung in ladder):
        said = "ms of a file: as its export measured it, in brackets PyTorch's in the same turns"
        console.print(said, highlight=False)
    console.print(f"{out / 'compression.json'}, compression.png, compression.svg", soft_wrap=True)
