"""`levelfield analyze rank` of networks: their ranks layer by layer, as tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from levelfield.cli.output import console, print_json, show_table

if TYPE_CHECKING:
    from levelfield.analysis.feature_ranks.networks_to_rank import NetworkRank


def network_ranks(
    models: list[str], runs: list[Path], data: str | None, images: int, image_size: int | None, tolerance: float,
    out: Path | None, seed: int, data_dir: str | None, plugins: list[str] | None, json: bool,
) -> None:  # fmt: skip
    """Measure networks by name, and those of runs, untrained and trained, on test images."""
    from levelfield.analysis.feature_ranks import network_figure, networks_to_rank, rank_figure
    from levelfield.models import load_plugin
    from levelfield.progress import Progress
    from levelfield.runs import write_json

    for path in plugins or []:
        load_plugin(path)
    found = [networks_to_rank.from_name(name, data or "digits", image_size, seed, data_dir) for name in models]
    for run in runs:
        found += networks_to_rank.from_run(run, data)
    measured = []
    with Progress() as progress:
        progress.start(len(found) * images, "ranks")
        for subject in found:
            measured.append(networks_to_rank.measure(subject, data_dir, images, tolerance, progress.advance, seed))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "network-rank.json", [network.as_json() for network in measured])
        rank_figure.save(network_figure.chart(measured), out / "network-rank")
    if json:
        print_json("analyze rank", {"networks": [network.as_json() for network in measured]})
        return
    _print_networks(measured)
    if out is not None:
        console.print(f"{out / 'network-rank.json'}, network-rank.png, network-rank.svg", soft_wrap=True)


def _print_networks(measured: list[NetworkRank]) -> None:
    for network in measured:
        title = f"{network.title}, {network.state}: {network.images} images of {network.data}"
        rows = []
        judged = [layer for layer in network.layers if layer.judged]
        for layer in judged:
            kind, widths = layer.kind.replace("depthwise", "dw"), f"{layer.d_in} -> {layer.d_out}"
            ranks = (str(layer.input_rank), str(layer.rank), f"{layer.share:.2f}")
            rows.append((layer.name, kind, widths, f"{layer.ratio:.2f}", *ranks, f"{layer.nuclear_norm:.1f}"))
        numbers = ("in -> out", "in/out", "rank in", "rank", "rank/out", "nuclear")
        show_table(("layer", "kind", *numbers), rows, numbers, title)
        if left_out := len(network.layers) - len(judged):
            console.print(f"{left_out} layers left out: no feature maps, or fewer than 2 positions a channel")
    lines: dict[str, list[str]] = {
        "top-1 (%)": ["n/a" if n.top1 is None else f"{n.top1:.2f}" for n in measured],
        "mean rank / d_out": [f"{n.summary.filled:.3f}" for n in measured],
        "bottlenecks / layers judged": [f"{n.summary.bottlenecks} / {n.summary.judged}" for n in measured],
        "mean effective rank / d_out": [f"{n.summary.effective:.3f}" for n in measured],
        "directions lost": [str(n.summary.lost) for n in measured],
        "final features: rank of width": [f"{n.summary.final_rank} of {n.summary.final_width}" for n in measured],
        "final features: nuclear norm": [f"{n.summary.final_nuclear_norm:.2f}" for n in measured],
    }
    networks = [f"{network.title}, {network.state}" for network in measured]
    show_table(("", *networks), [(name, *cells) for name, cells in lines.items()], networks, title="side by side")
    for network in measured:
        console.print(f"{network.title}, {network.state}: {len(network.advice)} bottlenecks", markup=False)
        for advice in network.advice[:5]:
            console.print(f"  {advice.layer}: {advice.finding}; {advice.remedy}", markup=False, soft_wrap=True)
