"""`levelfield export`: a finished run as a file for another runtime, tested again there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from levelfield.cli.options import DataDir, Json
from levelfield.cli.output import console, headline, print_json
from levelfield.cli.what_was_meant import run_meant
from levelfield.errors import UserError, unknown
from levelfield.units import plain, size

FORMS = ("onnx", "openvino", "torch-export")
LAYOUTS = ("nhwc", "nchw")


def export(
    run: Annotated[Path, typer.Argument(help="A run folder that `levelfield train` or a study wrote.")],
    to: Annotated[str, typer.Option("--to", help="onnx, openvino or torch-export.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the file and its export.json.")],
    layout: Annotated[str, typer.Option(help="Of the images: nhwc (B, H, W, 3) or nchw (B, 3, H, W).")] = "nhwc",
    int8: Annotated[
        bool, typer.Option("--int8", help="Compute in int8, calibrated on training images (onnx only).")
    ] = False,
    batch: Annotated[int, typer.Option(min=1, help="Images a batch of the test.")] = 64,
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Keep a file that gets fewer test images right than PyTorch.")
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Export a finished run, uint8 images in and probabilities out, and test the file over the whole test set.

    Example: `levelfield export runs/first --to onnx --out exports/first`
    """
    for what, given, known in (("form", to, FORMS), ("layout", layout, LAYOUTS)):
        if given not in known:
            raise unknown(what, given, known)
    if int8 and to != "onnx":
        raise UserError("--int8 is of --to onnx: ONNX Runtime's quantiser makes it\nadd --to onnx, or leave --int8 out")
    run = run_meant(run)

    from levelfield.exports.export_run import export_run
    from levelfield.exports.forms import To
    from levelfield.exports.program import Layout
    from levelfield.progress import on_stderr

    with on_stderr() as progress:
        found = export_run(
            run, To(to), out, layout=Layout(layout), batch_size=batch, allow_loss=allow_loss, int8=int8,
            data_dir=data_dir, progress=progress,
        )  # fmt: skip
    if json:
        print_json("export", {"run": str(run), "out": str(out), **found})
    else:
        _print(found, out)


def _print(found: dict[str, Any], out: Path) -> None:
    from levelfield.cost.machine_at_rest import BUSY_PERCENT

    def told(test: dict[str, Any], than: str = "by PyTorch") -> str:
        differing = f"{test['differing']:,} of {test['images']:,} images named otherwise than {than}"
        off = plain(test["logits_off"], 2) if test["logits_off"] else "0"
        return f"{differing}, logits off by {off} at most (the largest is {plain(test['largest_logit'])})"

    test, int8 = found["tested"], found["int8"]
    lines = [
        ("file", f"{out / found['file']}, {size(found['bytes'] / 2**20)}"),
        ("takes", f"{found['input']}, any number of any one size"),
        ("gives", "probabilities, and logits" + _calibrated(found["temperature"])),
        ("top-1", f"{test['top1']:.2f} %, with PyTorch in fp32 {test['top1_in_torch']:.2f} %{_recorded(found)}"),
        ("whole test set", told(test)),
        ("other image sizes", told(found["other_sizes"], *(["where Pillow resized them"] if int8 else []))),
    ]
    if int8 is not None:
        said = f"{int8['products']} of {int8['of']} convolutions and products, calibrated on {int8['images']:,} images"
        said += f" of train; {int8['learnt']} ranges learnt in training" if int8["learnt"] else " of train"
        lines.insert(3, ("in int8", said))
    for each in found["latency"]:
        ratio = each["torch_ms"] / each["ms"]
        lines.append(
            (f"batch of {each['batch']}", f"{each['ms']:.2f} ms, PyTorch {each['torch_ms']:.2f} ms: {ratio:.2f} x")
        )
    if (busy := found["busy_percent"]) is None or busy > BUSY_PERCENT:
        used = f"others used {busy:.0f} % of it: these times tell little" if busy else "whether it rested is not known"
        lines.append(("machine", used))
    headline(found["model"], f" on {found['data']} as {found['to']}")
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        console.print(f"  {name:<{width}}  {value}", highlight=False, markup=False)


def _calibrated(temperature: float) -> str:
    return "" if temperature == 1 else f"; calibrated, temperature {temperature:.3f}"


def _recorded(found: dict[str, Any]) -> str:
    if found["recorded_top1"] is None:
        return ""
    return f"; the run's own test in {found['precision_of_run']} {found['recorded_top1']:.2f} %"
