"""`levelfield analyze rank`: ranks of the features of random networks, and of real ones layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.analyze.network_ranks import network_ranks
from levelfield.cli.analyze.random_study import random_study
from levelfield.cli.check_names import check_models
from levelfield.cli.completion import data_sets, models
from levelfield.cli.options import DataDir, Json, Plugins, Yes, finite
from levelfield.errors import UserError


def rank(
    model: Annotated[
        list[str] | None, typer.Option(help="Measure this network, untrained. Repeatable.", autocompletion=models)
    ] = None,
    run: Annotated[
        list[Path] | None, typer.Option(help="Measure a run's network, untrained and trained. Repeatable.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Images to measure networks on (default: digits, or the run's own).", autocompletion=data_sets
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=2, help="Test images to measure networks on.")] = 256,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side in px for --model (default: its published one).")
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            min=1e-7,
            max=0.5,
            callback=finite,
            help="Share of the largest singular value below which one counts as zero.",
        ),
    ] = 1e-3,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results (random study: rank-study; STUDY/analysis: the study's page shows ranks)."
        ),
    ] = None,
    networks: Annotated[int, typer.Option(min=40, help="Random networks a point of a curve.")] = 1000,
    sensitivity: Annotated[
        bool, typer.Option(help="Also vary what the paper leaves open, on a twentieth of the networks.")
    ] = True,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Change the random study's setting: d_out_max=128. Repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads of the random study (default: cores).")] = None,
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
        check_models(model or [], plugin or [])
        network_ranks(model or [], run or [], data, images, image_size, tolerance, out, seed, data_dir, plugin, json)
    else:
        random_study(out or Path("rank-study"), networks, sensitivity, setting or [], seed, workers, yes, json)
