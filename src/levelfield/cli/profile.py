"""`levelfield profile`: what models cost, each measured in a fresh process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levelfield.cli.check_names import check_device, check_models, fp16_on_cpu
from levelfield.cli.completion import models as known
from levelfield.cli.completion import studies
from levelfield.cli.options import Device, Json, Plugins, finite
from levelfield.cli.output import console, messages, print_json, show_table
from levelfield.cli.what_was_meant import run_meant
from levelfield.errors import UserError
from levelfield.units import short, size, whole

if TYPE_CHECKING:
    import torch

    from levelfield.cost import Setting
    from levelfield.cost.one_process import Deploy
    from levelfield.runs import RunFolder
    from levelfield.studies.running.profile_networks import Subject

CONVENTION = "MACs: convolutions, linear layers and both attention products of one image; FLOPs = 2 x MACs"
Seconds = Annotated[
    float | None,
    typer.Option(min=0.0, callback=finite, help="Length of each timing. [default: 0.5, with --thorough 2]"),
]
Thorough = Annotated[
    bool,
    typer.Option("--thorough", help="Times from two processes, memory from a third; always so with --study."),
]
Deployed = Annotated[
    bool, typer.Option("--deploy", help="Measure the deployed form, which only predicts, beside each network.")
]
OfRuns = Annotated[
    list[Path] | None, typer.Option("--run", help="A run folder: its network, as narrow as it is. May be repeated.")
]
Into = Annotated[
    Path | None, typer.Option(help="The study's folder: its table, charts and `study pick` take their costs there.")
]


def profile(
    models: Annotated[
        list[str] | None, typer.Argument(help="Model names, timm:<name> included.", autocompletion=known)
    ] = None,
    run: OfRuns = None,
    study: Annotated[
        str | None, typer.Option(help="Profile the models of this study instead.", autocompletion=studies)
    ] = None,
    image_size: Annotated[int | None, typer.Option(min=1, help="Side of the images in px.")] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Number of classes.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images a batch, for throughput, training and memory.")] = 64,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help="fp32, bf16 or fp16 (both by autocast).")] = "fp32",
    train: Annotated[bool, typer.Option("--train", help="Measure training steps too.")] = False,
    compile: Annotated[bool, typer.Option("--compile", help="Compile first; the time it takes stands apart.")] = False,
    seconds: Seconds = None,
    thorough: Thorough = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: all).")] = None,
    cuda_graphs: Annotated[bool, typer.Option("--cuda-graphs", help="Compile, and replay as CUDA graphs.")] = False,
    deploy: Deployed = False,
    tf32: Annotated[bool, typer.Option("--tf32", help="Let float32 on a GPU be TensorFloat-32, everywhere.")] = False,
    scale: Annotated[str, typer.Option(help="The study's scale, for its data and image size.")] = "full",
    into: Into = None,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Measure parameters, MACs, speed and memory of models, side by side.

    Example: `levelfield profile resnet_mini outgrid_nano --image-size 32 --batch 64`
    """
    runs, plugins = _runs(run or [], plugin or [])
    check_device(device, dtype)
    check_models(models or [], plugins)

    from levelfield.cost import Setting
    from levelfield.runs import write_json
    from levelfield.tables.cost_columns import COSTS
    from levelfield.training.environment import describe_environment

    form = _deployed_form(compile or cuda_graphs) if deploy else None
    where = _device(device, dtype)
    subjects = _subjects(models or [], runs, study, scale, into, plugins)
    thorough = thorough or study is not None
    setting = partial(
        Setting, batch=batch, device=str(where), dtype=dtype, train=train, compile=compile, threads=threads, tf32=tf32,
        cuda_graphs=cuda_graphs, min_repeats=10 if thorough else 3, warm_up=3 if thorough else 1,
        seconds=seconds if seconds is not None else 2.0 if thorough else 0.5, deploy=form,
    )  # fmt: skip
    environment = describe_environment(where)
    rows = [
        {**row, "environment": environment}
        for row in _measured(subjects, classes, image_size, setting, plugins, thorough)
    ]
    if into is not None:
        write_json(into / COSTS, rows)
    if json:
        print_json("profile", {"models": rows})
    else:
        _print(rows, train, deploy)


def _runs(places: list[Path], plugins: list[str]) -> tuple[list[RunFolder], tuple[str, ...]]:
    """The runs that are named, and the plugins with theirs."""
    from levelfield.runs import RunFolder

    runs = [RunFolder(run_meant(path)) for path in places]
    of_runs = (one.path for folder in runs for one in folder.spec().plugins)
    return runs, tuple(dict.fromkeys((*plugins, *of_runs)))


def _deployed_form(compiled: bool) -> Deploy:
    """What makes the deployed form. Raises UserError where the networks are to be compiled."""
    if compiled:
        raise UserError("--deploy with --compile or --cuda-graphs: the deployed form is not compiled\nleave one out")
    from levelfield.studies.running.profile_networks import deploy

    return deploy


def _device(name: str, dtype: str) -> torch.device:
    """The device to measure on. Raises UserError for one that is not there or cannot compute in `dtype`."""
    from levelfield.training.device import choose_device

    where = choose_device(name)
    if dtype == "fp16" and where.type == "cpu":
        raise fp16_on_cpu()
    return where


def _measured(
    subjects: list[Subject], classes: int | None, image_size: int | None, setting: Callable[..., Setting],
    plugins: tuple[str, ...], thorough: bool,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """What each network costs, while stderr says what is being measured. One alone is measured quickly in this process,
    which is a fresh one.
    """
    from levelfield.cost import profile, quick_profile
    from levelfield.studies.running.profile_networks import profile_subject, resolved

    def say(doing: str) -> None:
        messages.print(f"  measuring {doing}", highlight=False, soft_wrap=True)

    how = partial(profile, say=say) if thorough else partial(quick_profile, say=say, fresh=len(subjects) == 1)
    for position, given in enumerate(subjects, 1):
        subject = resolved(given, classes, image_size)
        progress = f"{position}/{len(subjects)} {subject.label}, {subject.image_size} px, {subject.classes} classes"
        own = {"classes": classes or given.classes, "px": image_size or given.image_size}
        if unsaid := " and ".join(word for word, value in own.items() if value is None):
            progress += f" ({unsaid} of the network's own)"
        messages.print(progress, highlight=False)
        measured = profile_subject(subject, setting, plugins, how)
        _warn(subject.label, measured)
        yield measured
    if not thorough:
        messages.print(
            "measured quickly, in one process; --thorough takes two for time and one for memory", highlight=False
        )


def _subjects(
    models: list[str], runs: list[RunFolder], study: str | None, scale: str, into: Path | None, plugins: tuple[str, ...]
) -> list[Subject]:
    """The networks that are asked for, with `plugins` loaded. Raises UserError for options that do not go together."""
    from levelfield.models import load_plugin
    from levelfield.studies.running.profile_networks import Subject, run_subject, study_subjects

    if bool(study) == bool(models or runs):
        raise UserError(
            "give either model names or --study NAME, for example: levelfield profile resnet_mini\n"
            "a run's own network: levelfield profile --run RUN"
        )
    if into is not None and not (study and into.is_dir()):
        raise UserError(f"--into {into}: give --study NAME and the folder that `levelfield study run` wrote")
    for path in plugins:
        load_plugin(path)
    if study is None:
        return [*(Subject(name, name) for name in models), *map(run_subject, runs)]
    subjects, left_out = study_subjects(study, plugins, scale, into)
    if left_out:
        said = f"left out, as which channels go is known of a run only: {', '.join(left_out)}"
        where = "train them first" if into else "give --into FOLDER, where they are trained"
        messages.print(f"{said}; {where}", highlight=False, soft_wrap=True)
    return subjects


def _warn(label: str, measured: dict[str, Any]) -> None:
    """Say what may have disturbed the timings of one network."""
    if measured["noisy"]:
        differ = f"differ by {measured['noise_percent']:.1f} %"
        messages.print(f"machine is noisy: repeated timings of {label} {differ}", style="yellow", highlight=False)
    if not measured["resting"]:
        busy = measured["busy_percent"]
        said = "whether the machine rests cannot be told here"
        said = said if busy is None else f"machine does not rest: others use {busy:.0f} % of it"
        messages.print(said, style="yellow", highlight=False)


def _print(rows: list[dict[str, Any]], train: bool, deploy: bool) -> None:
    """A table for 80 columns; quartiles, p99 and the rest are in the JSON."""
    from levelfield.studies.running.profile_networks import PUBLISHED_CONVENTION

    first = rows[0]
    published = any("published" in row for row in rows)
    headings = ["params", "MACs", "ms of one", "images/s", "of peak %", "IQR %", "memory"]
    headings += ["train images/s", "train of peak %", "train memory"] if train else []
    headings += ["deployed ms of one", "deployed images/s", "times as fast", "deployed memory"] if deploy else []
    headings += ["printed FLOPs / MACs"] if published else []
    threads = f"{first['threads']} thread{'s' * (first['threads'] != 1)}"
    title = f"{first['device']}, {first['dtype']}, batch {first['batch']}, {threads}"
    lines = []
    for row in rows:
        speed = row["throughput"]
        cells = [
            row["name"], short(row["params"]), short(row["macs"]), f"{row['latency']['ms_median']:.2f}",
            whole(row["images_per_s"]), f"{100 * row['share_of_peak']['inference']:.1f}",
            f"{100 * (speed['ms_q3'] - speed['ms_q1']) / speed['ms_median']:.1f}",
            size(row["memory"]["inference"]["peak_mib"]),
        ]  # fmt: skip
        if train:
            share = f"{100 * row['share_of_peak']['training']:.1f}"
            cells += [whole(row["training"]["images_per_s"]), share, size(row["memory"]["training"]["peak_mib"])]
        if deploy:
            cells += [
                f"{row['deployed_latency']['ms_median']:.2f}", whole(row["deployed_throughput"]["images_per_s"]),
                f"{row['deployed_speedup']['throughput']:.2f}", size(row["memory"]["deployed"]["peak_mib"]),
            ]  # fmt: skip
        if published:
            pair = row.get("published")
            cells += [f"{short(pair['printed_flops'])} / {short(pair['printed_macs'])}" if pair else ""]
        lines.append(cells)
    show_table(("model", *headings), lines, numbers=headings, title=title)
    peaks = ", ".join(sorted({f"{row['peak_flops'] / 1e9:,.0f}" for row in rows}))
    said = f"\nof peak: of the {peaks} GFLOP/s of a large product here; a training step counts as three forward passes"
    console.print(CONVENTION + said + (f"\nprinted: {PUBLISHED_CONVENTION}" if published else ""), highlight=False)
