"""`levelfield eval`: the full block of a test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from levelfield.cli.check_names import check_device
from levelfield.cli.options import DataDir, Device, Json
from levelfield.cli.output import console, headline, print_data_notes, print_json, show_table
from levelfield.cli.what_was_meant import run_meant
from levelfield.errors import unknown
from levelfield.units import plain, short, size

SPLITS: Final = ("test", "validation")


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder that `levelfield train` or a study wrote.")],
    split: Annotated[str, typer.Option(help="test or validation.")] = "test",
    batch: Annotated[int, typer.Option(min=1, help="Images a batch.")] = 64,
    device: Device = "auto",
    data_dir: DataDir = None,
    deploy: Annotated[
        bool, typer.Option("--deploy", help="Test the network's deployed form, which only predicts.")
    ] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Fit a temperature on the validation images first, for `predict`.")
    ] = False,
    json: Json = False,
) -> None:
    """Test a finished run again: accuracy, cost and the classification report.

    Example: `levelfield eval runs/first`
    """
    check_device(device)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    run = run_meant(run)  # a folder that holds no run is answered before torch is loaded

    from levelfield.training.calibrate_finished_run import calibrate as calibrated
    from levelfield.training.evaluate_finished_run import retest

    if calibrate:
        calibrated(run, batch_size=batch, device=device, data_dir=data_dir)
    block = retest(run, split=split, batch_size=batch, device=device, data_dir=data_dir, deploy=deploy)
    if json:
        print_json("eval", block)
    else:
        _print(block)


def _print(block: dict[str, Any]) -> None:
    def several(form: str, *keys: str) -> str:
        return " / ".join("n/a" if block[key] is None else form.format(block[key]) for key in keys)

    lines = [
        ("loss", f"{block['loss']:.4f}"),
        ("top-1 / top-3 / top-5", several("{:.2f} %", "top1", "top3", "top5")),
        ("images/s, model alone", f"{block['images_per_s']:,.1f}"),
        ("ms per batch, model alone", f"{block['ms_per_batch']:.2f} (batch {block['batch']})"),
        ("seconds", f"{block['eval_seconds']:.2f}"),
        (
            "memory allocated / reserved / peak",
            " / ".join(size(block[key]) for key in ("mem_alloc_mib", "mem_reserved_mib", "mem_peak_mib")),
        ),
        ("parameters", f"{block['params']:,} ({size(block['param_mib'])})"),
        ("MACs / FLOPs", f"{short(block['macs'])} / {short(block['flops'])}"),
    ]
    if (form := block["deployed"]) is not None:
        percent = 100 * form["logits_off"]
        by = f"{plain(percent, 2)} %" if percent >= 0.001 else "less than 0.001 %"
        off = f"logits off by {by} of the largest on {form['images']} images"
        lines.append(("deployed form", f"{form['folded']} norms folded, {form['packed']} layers packed; {off}"))
    if (fitted := block["calibration"]) is not None:
        before, after = fitted["nll_before"], fitted["nll_after"]
        on = f"{fitted['n']:,} validation images, where it brings the loss from {before:.4f} to {after:.4f}"
        lines.append(("temperature", f"{fitted['temperature']:.3f}, fitted on {on}"))
    headline(block["model"], f" on {block['data']} ({block['split']}, {block['n']:,} images)")
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        console.print(f"  {name:<{width}}  {value}", highlight=False, markup=False)
    print_data_notes(block["data_notes"])
    rows = []
    for row in block["report"]:
        name = str(row["name"])
        pair = ("", "") if name == "accuracy" else (f"{row['precision']:.3f}", f"{row['recall']:.3f}")
        rows.append([name, *pair, f"{row['f1']:.3f}", f"{row['support']:,}"])
    columns = ("precision", "recall", "F1", "support")
    show_table(("class", *columns), rows, numbers=columns, title="classification report")
