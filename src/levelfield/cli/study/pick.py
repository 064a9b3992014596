"""`levelfield study pick`: the best row for a budget."""

from __future__ import annotations

from typing import Annotated

import typer

from levelfield.cli.options import Json, finite
from levelfield.cli.output import console, headline, print_json
from levelfield.cli.study.from_options import open_study
from levelfield.cli.study.options import Name, Out, Rows, ScaleName


def pick(
    name: Name,
    scale: ScaleName = None,
    out: Out = None,
    row: Rows = None,
    max_macs: Annotated[str | None, typer.Option(help="Multiply-accumulates of an image: 100M, 1.5G.")] = None,
    max_params: Annotated[str | None, typer.Option(help="Parameters: 500k, 5M.")] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(callback=finite, help="Milliseconds of a batch, as profiled.")
    ] = None,
    max_memory_mib: Annotated[
        float | None, typer.Option(callback=finite, help="Peak memory of inference in MiB, as profiled.")
    ] = None,
    json: Json = False,
) -> None:
    """Name the best row of a study for a budget, and the rows that cannot be told apart from it.

    Example: `levelfield study pick quickstart --max-macs 100M --max-latency-ms 50`
    """
    from levelfield.studies.results.pick import parse_quantity
    from levelfield.studies.results.pick import pick as pick_row
    from levelfield.studies.results.write_outputs import table_for

    wanted = {
        "macs": None if max_macs is None else parse_quantity(max_macs, "--max-macs"),
        "params": None if max_params is None else parse_quantity(max_params, "--max-params"),
        "ms_per_batch": max_latency_ms,
        "mem_peak_mib": max_memory_mib,
    }
    limits = {key: most for key, most in wanted.items() if most is not None}
    study, folder, asked, _ = open_study(name, scale, out=out)
    chosen = pick_row(table_for(study, folder, asked), limits, row or ("*",))
    best = chosen.best
    assert best.top1 is not None
    if json:
        facts = {"row": best.name, "top1": best.top1.value, **best.means}
        print_json("study pick", {**facts, "ties": list(chosen.ties), "left_out": dict(chosen.left_out)})
        return
    headline(best.name, f": {best.top1.value:.2f} % top-1, {best.n} seeds")
    if chosen.ties:
        console.print("not told apart from it: " + ", ".join(chosen.ties), markup=False, highlight=False)
    for left, why in chosen.left_out.items():
        console.print(f"left out: {left} ({why})", markup=False, highlight=False)
