"""A finished run exported: written, tested again as it will be used, and only then put where it was asked for."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch

from levelfield.cost.machine_at_rest import busy_percent
from levelfield.data.store.splits import Split
from levelfield.errors import UserError
from levelfield.exports.forms import FORMS, Form, To
from levelfield.exports.held_to_run import Compared, Fitted, InTorch, at_other_sizes, latencies, over_test_set
from levelfield.exports.int8 import MOST_LOST, Quantised, quantise
from levelfield.exports.program import ImageProgram, Layout, program_of, traced
from levelfield.progress import OnProgress
from levelfield.runs import write_json
from levelfield.system.files import rename
from levelfield.training.environment import describe_environment
from levelfield.training.evaluate_finished_run import open_tested
from levelfield.training.load_finished_run import LoadedRun, load_run

RECORD: Final = "export.json"
CPU: Final = torch.device("cpu")
ASIDE: Final = "lossy-"
"""What the names of an export that loses accuracy begin with, where that was not allowed."""


def export_run(
    path: Path, to: To, out: Path, *, layout: Layout = Layout.NHWC, batch_size: int = 64, allow_loss: bool = False,
    int8: bool = False, data_dir: str | None = None, progress: OnProgress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Export the run in `path` into the folder `out`, and test the file over the run's whole test set.

    Returns what `export.json` beside the file holds. Raises UserError where a package is missing, where the network
    cannot be traced, where `out` holds another export, and where fewer images are right than with PyTorch, unless
    `allow_loss`: the file then stays under a name that says so. `int8`: convolutions and products of matrices in int8,
    calibrated on training images; of an ONNX file only, which may lose `MOST_LOST` points.
    """
    form = FORMS[to]
    _check(form, to, out, int8)
    run = load_run(path)
    if run.spec.recipe.quantize_aware is not None and not int8:
        raise UserError(f"{path} was trained to compute in int8 (recipe.quantize_aware)\n--to onnx --int8")
    _check_that_nothing_is_lost(out, run.folder.identity, "int8" if int8 else "fp32")
    data = open_tested(run, None, data_dir)
    test = replace(data.test, crop_px=None)  # as files come, before the centre is taken
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out) as temporary:
        file = Path(temporary) / form.file
        program = program_of(run, layout, form.branches)
        quantised = _write(run, program, form, file, data.train if int8 else None, progress)
        runtime, reference = form.open(file, torch.get_num_threads()), InTorch(run, program)
        tested = over_test_set(reference, runtime, test, layout, batch_size, progress)
        fitted = reference if quantised is None else Fitted(runtime, program)  # else its losses would hide the resize's
        resized = at_other_sizes(fitted, runtime, test, layout)
        busy = [busy_percent(CPU)]
        times = latencies(InTorch(run, program, plain=True), runtime, test, layout, batch_size)
        busy.append(busy_percent(CPU))
        content = {
            "to": str(to),
            "file": form.file,
            "sha256": _sha256(file),
            "beside": {name: _sha256(file.with_name(name)) for name in form.beside},
            "bytes": sum(each.stat().st_size for each in (file, *map(file.with_name, form.beside))),
            **_described(run, program, int8),
            "int8": None if quantised is None else asdict(quantised),
            "tested": _tested(tested),
            "recorded_top1": (run.result or {}).get("top1"),
            "other_sizes": _tested(resized),
            "latency": [asdict(each) for each in times],
            "busy_percent": max((each for each in busy if each is not None), default=None),
            "threads": torch.get_num_threads(),
            "versions": form.versions(),
            "environment": describe_environment(CPU),
        }
        lost = tested.lost > (MOST_LOST / 100 * tested.images if int8 else 0)
        before = ASIDE if (lost or resized.lost) and not allow_loss else ""
        (out / f"{before}{RECORD}").unlink(missing_ok=True)  # of an earlier export, whose file is about to go
        for name in (*form.beside, form.file):
            rename(file.with_name(name), out / f"{before}{name}")
        write_json(out / f"{before}{RECORD}", content)
    if before:
        than = "with PyTorch" if lost or quantised is None else "where Pillow resized them"
        which = ("test images", tested) if lost else ("test images brought to other sizes", resized)
        raise UserError(_loss(*which, than, out / f"{before}{form.file}"))
    return content


def _check(form: Form, to: To, out: Path, int8: bool) -> None:
    """Raise UserError where a package is missing, no such form is int8, or `out` holds an export to another form."""
    form.check()
    if int8 and to is not To.ONNX:
        raise UserError(f"int8 is a form of ONNX files: ONNX Runtime's quantiser makes it, and not of {to}\n--to onnx")
    if any((out / other.file).exists() for other in FORMS.values() if other is not form):
        raise UserError(f"{out} holds an export to another form\nname a folder of its own with --out")


def held_export(out: Path) -> dict[str, Any] | None:
    """What `export.json` in `out` says; None where there is none, or none that could be used."""
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
        return {**record} if {"identity", "weights", "precision"} <= record.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _check_that_nothing_is_lost(out: Path, identity: str, precision: str) -> None:
    """Raise UserError where `out` holds an export of another run or in another precision."""
    held = held_export(out)
    if held is None or (held["identity"], held["precision"]) == (identity, precision):
        return
    if held["identity"] != identity:
        which = f"of run {held['identity'][:8]}, not {identity[:8]}"
    else:
        which = f"in {held['precision']}, not {precision}"
    raise UserError(f"{out} holds an export {which}\nname a folder of its own with --out")


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _write(
    run: LoadedRun, program: ImageProgram, form: Form, file: Path, train: Split | None, progress: OnProgress | None
) -> Quantised | None:
    """Write the program of `run` into `file`, in int8 where there are images of `train` to calibrate it on."""
    if progress is not None:
        progress("tracing the network", 0, 1)
    form.write(traced(program, program.resize.fit.side_px), _notes(run, program, train is not None), file)
    if train is None:
        return None
    if progress is not None:
        progress("calibrating on training images", 0, 1)
    return quantise(file, train, program.layout is Layout.NCHW)


def _loss(which: str, found: Compared, than: str, file: Path) -> str:
    return (
        f"the export loses accuracy: of {found.images:,} {which} {found.right:,} are right, {than} "
        f"{found.right_in_torch:,}; it stays aside as {file}\n--allow-loss keeps it under its own name"
    )


def _tested(found: Compared) -> dict[str, Any]:
    return {
        **asdict(found),
        "top1": 100 * found.right / found.images,
        "top1_in_torch": 100 * found.right_in_torch / found.images,
    }


def _described(run: LoadedRun, program: ImageProgram, int8: bool) -> dict[str, Any]:
    fit = program.resize.fit
    return {
        "identity": run.folder.identity,
        "weights": run.folder.weights_digest(),
        "model": run.spec.model.name,
        "data": run.spec.data.name,
        "seed": run.spec.seed,
        "classes": list(run.classes),
        "input": "uint8 (B, H, W, 3), RGB" if program.layout is Layout.NHWC else "uint8 (B, 3, H, W), RGB",
        "layout": str(program.layout),
        "image_size": program.resize.crop_px,
        "fit": str(fit),
        "temperature": program.temperature,
        "precision": "int8" if int8 else "fp32",
        "precision_of_run": run.spec.recipe.precision,
    }


def _notes(run: LoadedRun, program: ImageProgram, int8: bool) -> dict[str, str]:
    """What the file itself says of where it comes from."""
    described = _described(run, program, int8)
    return {
        f"levelfield.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in described.items()
    }
