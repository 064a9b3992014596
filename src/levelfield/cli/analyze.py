"""`levelfield analyze`: why a network is better. Ranks of random networks and of real ones; the compression ladder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from levelfield.cli.confirm import confirm_long_work
from levelfield.cli.output import DataDir, Json, Plugins, Yes, console, messages, print_json
from levelfield.errors import UserError

if TYPE_CHECKING:
    from levelfield.analysis.compression import Rung
    from levelfield.analysis.rank_study import Plan, Study
    from levelfield.analysis.subjects import NetworkRank

analyze = typer.Typer(help="Why is a network better? Feature ranks, and what remains of it when it is made smaller.",
                      no_args_is_help=True)  # fmt: skip


@analyze.command("rank")
def rank(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Measure this network, untrained. Repeatable.", show_default=False),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option("--run", help="Measure a run's network, untrained and trained. Repeatable.", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", help="Images to measure networks on (default: digits, or the run's own).", show_default=False
        ),
    ] = None,
    images: Annotated[int, typer.Option("--images", min=2, help="Test images to measure networks on.")] = 256,
    image_size: Annotated[
        int | None,
        typer.Option(
            "--image-size", min=1, help="Side in px for --model (default: its published one).", show_default=False
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", min=1e-7, max=0.5, help="Share of the largest singular value below which one counts as zero."
        ),
    ] = 1e-3,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for the results (random study: rank-study; STUDY/analysis: the study's page shows ranks).",
            show_default=False,
        ),
    ] = None,
    networks: Annotated[int, typer.Option("--networks", min=40, help="Random networks a point of a curve.")] = 1000,
    sensitivity: Annotated[
        bool, typer.Option(help="Also vary what the paper leaves open, on a twentieth of the networks.")
    ] = True,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the random study's setting: d_out_max=128. Repeatable.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Threads of the random study (default: cores).", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Rank of features: of ten thousand random networks a curve, or (--model, --run) of a network, layer by layer.

    Without --model and --run: rank / d_out of four kinds of layer under eight non-linearities (arXiv 2007.00992), as
    rank.csv and a figure with the effective rank beside it. An interrupted study goes on with the same command.
    """
    if model or run:
        if setting:
            raise UserError("--set changes the study of random networks; leave it out with --model or --run")
        _network_ranks(model or [], run or [], data, images, image_size, tolerance, out, seed, data_dir, plugin, json)
    else:
        _random_study(out or Path("rank-study"), networks, sensitivity, setting or [], seed, workers, yes, json)


def _random_study(
    out: Path, networks: int, sweep: bool, changes: list[str], seed: int, workers: int | None, yes: bool, json: bool
) -> None:
    from levelfield.analysis import rank_figure
    from levelfield.analysis.random_networks import KINDS, Setting
    from levelfield.analysis.rank_study import MAIN, Group, Plan, Study, sensitivity
    from levelfield.runs import FolderLock
    from levelfield.spec.overrides import apply

    setting = Setting.parse(apply(Setting().model_dump(), changes), "--set")
    groups = {MAIN: Group(setting=setting, networks=networks)}
    if sweep:
        groups |= sensitivity(setting, networks // 20)
    plan = Plan(groups=groups, seed=seed)
    with FolderLock(out):
        study = Study(out, plan)
        if study.pending():
            _measure(study, study.plan, workers or os.cpu_count() or 1, yes)
        title, tolerance = f"Rank of random networks, {networks} a point", setting.relative_tolerance
        figures = rank_figure.save(rank_figure.panels(study.rows, MAIN, title, tolerance), out / "rank")
        for kind in KINDS if len(study.plan.groups) > 1 else ():
            chart = rank_figure.sensitivity_panels(study.rows, kind, f"What the picture hangs on: {KINDS[kind]}")
            figures += rank_figure.save(chart, out / f"sensitivity-{kind}", scale=1.0)
    if json:
        rows = [
            {
                **vars(row),
                "standard_error": row.standard_error,
                "effective_standard_error": row.effective_standard_error,
            }
            for row in study.rows
        ]
        print_json({"folder": str(out), "figures": [str(path) for path in figures], "rows": rows})
        return
    _print_curves(study)
    console.print(f"{out / 'rank.csv'}, figures: " + ", ".join(path.name for path in figures), soft_wrap=True)


def _measure(study: Study, plan: Plan, workers: int, yes: bool) -> None:
    import torch

    from levelfield.analysis.rank_study import Point, expected_seconds
    from levelfield.progress import Progress
    from levelfield.training.environment import describe_environment

    torch.set_num_threads(1)
    pending = study.pending()
    messages.print(f"timing a few networks of each kind ({len(pending)} points to measure)", markup=False)
    expected = expected_seconds(plan, pending, workers)
    total = sum(expected.values())
    confirm_long_work(total, "the rank study", yes)
    environment = {**describe_environment(torch.device("cpu")), "workers": workers}
    with Progress() as progress:
        progress.start(total, "rank study")

        def done(point: Point) -> None:
            progress.advance(expected[point], point=f"{point.group}, {point.kind}, {point.ratio}")

        study.run(workers, environment, done)


def _print_curves(study: Study) -> None:
    from levelfield.analysis.random_networks import KINDS
    from levelfield.analysis.rank_study import MAIN

    for kind, title in KINDS.items():
        rows = [row for row in study.rows if row.group == MAIN and row.kind == kind]
        ratios = sorted({row.ratio for row in rows})
        for measure, column in (("rank", "rank_over_d_out"), ("effective rank", "effective_rank_over_d_out")):
            table = Table(title=f"{measure} / d_out by d_in / d_out, {title}", box=None, padding=(0, 1, 0, 0))
            table.add_column("", no_wrap=True)
            for ratio in ratios:
                table.add_column(f"{ratio:g}", justify="right", no_wrap=True)
            for name in study.plan.nonlinearities:
                cells = {row.ratio: f"{getattr(row, column):.3f}" for row in rows if row.nonlinearity == name}
                table.add_row(name, *(cells[ratio] for ratio in ratios))
            console.print(table)


def _network_ranks(
    models: list[str], runs: list[Path], data: str | None, images: int, image_size: int | None, tolerance: float,
    out: Path | None, seed: int, data_dir: str | None, plugins: list[str] | None, json: bool,
) -> None:  # fmt: skip
    from levelfield.analysis import network_figure, subjects
    from levelfield.models import load_plugin
    from levelfield.progress import Progress
    from levelfield.runs import write_json

    for path in plugins or []:
        load_plugin(path)
    found = [subjects.from_name(name, data or "digits", image_size, seed, data_dir) for name in models]
    for run in runs:
        found += subjects.from_run(run, data)
    measured = []
    with Progress() as progress:
        progress.start(len(found) * images, "ranks")
        for subject in found:
            measured.append(subjects.measure(subject, data_dir, images, tolerance, progress.advance, seed))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "network-rank.json", [network.as_json() for network in measured])
        network_figure.save(measured, out / "network-rank")
    if json:
        print_json([network.as_json() for network in measured])
        return
    _print_networks(measured)
    if out is not None:
        console.print(f"{out / 'network-rank.json'}, network-rank.png, network-rank.svg", soft_wrap=True)


def _print_networks(measured: list[NetworkRank]) -> None:
    for network in measured:
        title = f"{network.title}, {network.state}: {network.images} images of {network.data}"
        table = Table(title=title, box=None, padding=(0, 1))
        for name in ("layer", "kind", "in -> out", "in/out", "rank in", "rank", "rank/out", "nuclear"):
            table.add_column(name, justify="left" if name in ("layer", "kind") else "right", no_wrap=True)
        judged = [layer for layer in network.layers if layer.judged]
        for layer in judged:
            kind, widths = layer.kind.replace("depthwise", "dw"), f"{layer.d_in} -> {layer.d_out}"
            ranks = (str(layer.input_rank), str(layer.rank), f"{layer.share:.2f}")
            table.add_row(layer.name, kind, widths, f"{layer.ratio:.2f}", *ranks, f"{layer.nuclear_norm:.1f}")
        console.print(table)
        if left_out := len(network.layers) - len(judged):
            console.print(f"{left_out} layers left out: no feature maps, or fewer than 2 positions a channel")
    side = Table(title="side by side", box=SIMPLE)
    side.add_column("")
    for network in measured:
        side.add_column(f"{network.title}\n{network.state}", justify="right", overflow="fold")
    lines: dict[str, list[str]] = {
        "top-1 (%)": ["n/a" if n.top1 is None else f"{n.top1:.2f}" for n in measured],
        "mean rank / d_out": [f"{n.summary.filled:.3f}" for n in measured],
        "bottlenecks / layers judged": [f"{n.summary.bottlenecks} / {n.summary.judged}" for n in measured],
        "mean effective rank / d_out": [f"{n.summary.effective:.3f}" for n in measured],
        "directions lost": [str(n.summary.lost) for n in measured],
        "final features: rank of width": [f"{n.summary.final_rank} of {n.summary.final_width}" for n in measured],
        "final features: nuclear norm": [f"{n.summary.final_nuclear_norm:.2f}" for n in measured],
    }
    for name, cells in lines.items():
        side.add_row(name, *cells)
    console.print(side)
    for network in measured:
        console.print(f"{network.title}, {network.state}: {len(network.advice)} bottlenecks", markup=False)
        for advice in network.advice[:5]:
            console.print(f"  {advice.layer}: {advice.finding}; {advice.remedy}", markup=False, soft_wrap=True)


@analyze.command("compression")
def compression(
    folders: Annotated[list[Path], typer.Argument(help="Folders that hold the ladder's finished runs.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for compression.json and the chart (default: where a study's page shows it).",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Accuracy against parameters, MACs, size on disk and measured CPU latency, over finished runs of one recipe.

    Example: levelfield analyze compression runs/compression-rexnet-cpu. With --out STUDY/analysis (the default for one
    folder) the page of the study shows it from then on: levelfield report STUDY.
    """
    from levelfield.analysis.compression import chart, rungs
    from levelfield.analysis.rank_figure import save
    from levelfield.runs import write_json

    out = out or (folders[0] / "analysis" if len(folders) == 1 else Path("compression"))
    ladder = rungs(folders)
    values = [_rung_json(rung) for rung in ladder]
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


def _rung_json(rung: Rung) -> dict[str, Any]:
    return {**vars(rung), "top1": list(rung.top1), "top1_mean": rung.mean, "top1_std": rung.deviation}
