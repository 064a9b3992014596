"""`levelfield profile`: what models cost, each measured in fresh processes."""

from __future__ import annotations

import functools
import json as json_module
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from levelfield.cli.output import Json, Plugins, console, messages, print_json
from levelfield.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import nn

CONVENTION = "MACs: convolutions, linear layers and both attention products of one image; FLOPs = 2 x MACs"
PUBLISHED_CONVENTION = "the authors print MACs (plus a little element-wise work) as FLOPs, and half of them as MACs"


@dataclass(frozen=True)
class Subject:
    """A model to profile: `label` names its row, `printed_macs` is what its author printed as FLOPs."""

    label: str
    model: str
    classes: int | None
    image_size: int | None
    options: Mapping[str, Any] = field(default_factory=dict)
    printed_macs: float | None = None


def profile(
    models: Annotated[list[str] | None, typer.Argument(help="Model names, timm:<name> included.")] = None,
    study: Annotated[str | None, typer.Option(help="Profile the models of this study instead.")] = None,
    image_size: Annotated[int | None, typer.Option(min=1, help="Side of the images in px.")] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Number of classes.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images a batch, for throughput, training and memory.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="fp32, bf16 or fp16 (both by autocast).")] = "fp32",
    train: Annotated[bool, typer.Option("--train", help="Measure training steps too.")] = False,
    compile: Annotated[bool, typer.Option("--compile", help="Compile first; the time it takes stands apart.")] = False,
    seconds: Annotated[float, typer.Option(min=0.0, help="Length of each timing.")] = 2.0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: all).")] = None,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Measure parameters, MACs, speed and memory of models, side by side.

    Example: `levelfield profile resnet_mini outgrid_nano --image-size 32 --batch 64`
    """
    from levelfield.cost import DTYPES, Setting
    from levelfield.cost import profile as profile_one
    from levelfield.models import load_plugin, model_info
    from levelfield.training.device import choose_device, describe_environment

    plugins = tuple(plugin or ())
    for path in plugins:
        load_plugin(path)
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    where = choose_device(device)
    if dtype == "fp16" and where.type == "cpu":
        raise UserError("dtype fp16 needs a GPU: give --dtype bf16 or fp32 on a CPU")
    subjects = _study_subjects(study, plugins) if study else [Subject(m, m, None, None) for m in models or ()]
    if bool(study) == bool(models):
        raise UserError("give either model names or --study NAME, for example: levelfield profile resnet_mini")
    environment = describe_environment(where)
    rows = []
    for position, subject in enumerate(subjects, 1):
        info = model_info(subject.model)
        side = image_size or subject.image_size or info.image_size
        count = classes or subject.classes or info.num_classes
        messages.print(f"{position}/{len(subjects)} {subject.label}, {side} px, {count} classes", highlight=False)
        setting = Setting(
            functools.partial(build, subject.model, count, side, dict(subject.options), plugins),
            image_size=side, batch=batch, device=str(where), dtype=dtype, train=train, compile=compile, seconds=seconds,
            threads=threads,
        )  # fmt: skip
        measured = profile_one(setting)
        if measured["noisy"]:
            messages.print(
                f"machine is noisy: repeated timings of {subject.label} differ by {measured['noise_percent']:.1f} %",
                style="yellow", highlight=False,
            )  # fmt: skip
        named = {"name": subject.label, "model": subject.model, "classes": count, "image_size": side, "batch": batch}
        where_and_how = {"device": str(where), "dtype": dtype, "environment": environment}
        rows.append({**named, **measured, **where_and_how, **_published(subject, measured["macs"])})
    if json:
        print_json(rows)
    else:
        _print(rows, train)


def build(model: str, classes: int, image_size: int, options: dict[str, Any], plugins: tuple[str, ...]) -> nn.Module:
    """Build a model in the fresh process that measures it."""
    from levelfield.models import create_model, load_plugin

    for path in plugins:
        load_plugin(path)
    return create_model(model, classes, image_size, **options)


def _study_subjects(name: str, plugins: tuple[str, ...]) -> list[Subject]:
    """The distinct models of a study at full scale, in its order, each with what its author printed.

    Classes and size that the study leaves to the data are those of the catalogue (of the model, for other data).
    """
    from levelfield.data import catalog
    from levelfield.studies import Study
    from levelfield.studies.published import published_row

    study = Study.load(name)
    subjects: dict[str, Subject] = {}
    for row in study.planned_rows(plugins=plugins):
        spec = row.spec
        known = catalog.entry(spec.data.name)
        classes = spec.model.num_classes or (known.classes if known else None)
        stored = known.pixels.partition("x")[0] if known else ""
        size = spec.model.image_size or spec.data.image_size or (int(stored) if stored.isdigit() else None)
        published = published_row(study.name, row.published)
        printed = published.values.get("macs") if published else None
        subject = Subject(row.name, spec.model.name, classes, size, spec.model.options, printed)
        same = json_module.dumps([subject.model, classes, size, dict(subject.options)], sort_keys=True)
        subjects.setdefault(same, subject)
    return list(subjects.values())


def _published(subject: Subject, macs: int) -> dict[str, Any]:
    """The printed pair beside ours: what the author calls FLOPs and MACs, and ours as a multiple of the former."""
    if subject.printed_macs is None:
        return {}
    printed = subject.printed_macs
    return {
        "published": {
            "printed_flops": printed,
            "printed_macs": printed / 2,
            "macs_ratio": macs / printed,
            "convention": PUBLISHED_CONVENTION,
        }
    }


def _print(rows: list[dict[str, Any]], train: bool) -> None:
    """A table for 80 columns; quartiles, p99 and the rest are in the JSON."""
    first = rows[0]
    published = any("published" in row for row in rows)
    headings = ["params (M)", "MACs (M)", "batch 1 (ms)", "images/s", "IQR (%)", "peak (MiB)"]
    headings += ["train images/s", "train peak (MiB)"] if train else []
    headings += ["printed FLOPs / MACs (M)"] if published else []
    title = f"{first['device']}, {first['dtype']}, batch {first['batch']}, {first['threads']} threads"
    table = Table(title=title, title_style="", box=box.SIMPLE, pad_edge=False)
    table.add_column("model", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", overflow="fold")
    for row in rows:
        speed = row["throughput"]
        cells = [
            row["name"], f"{row['params'] / 1e6:.3f}", f"{row['macs'] / 1e6:.1f}", f"{row['latency']['ms_median']:.2f}",
            f"{row['images_per_s']:.0f}", f"{100 * (speed['ms_q3'] - speed['ms_q1']) / speed['ms_median']:.1f}",
            f"{row['memory']['inference']['peak_mib']:.0f}",
        ]  # fmt: skip
        if train:
            cells += [f"{row['training']['images_per_s']:.0f}", f"{row['memory']['training']['peak_mib']:.0f}"]
        if published:
            pair = row.get("published")
            cells += [f"{pair['printed_flops'] / 1e6:.1f} / {pair['printed_macs'] / 1e6:.1f}" if pair else ""]
        table.add_row(*cells)
    console.print(table)
    console.print(CONVENTION + (f"\nprinted: {PUBLISHED_CONVENTION}" if published else ""), highlight=False)
