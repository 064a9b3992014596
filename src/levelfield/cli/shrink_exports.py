"""The int8 files of what `levelfield shrink` trained, and the command that puts them into one table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from levelfield.cli.output import messages

if TYPE_CHECKING:
    from levelfield.runs import RunFolder


def files_of(name: str, run: RunFolder) -> Path:
    """The folder for the int8 file of `run`, another one for each run of a model."""
    return Path("exports") / f"{name}-int8-{run.identity[:8]}"


@contextmanager
def said_where_runs_fail(files_asked: bool) -> Iterator[None]:
    """Of a study some of whose runs failed: that its int8 files, where they are asked for, are not there yet."""
    try:
        yield
    except typer.Exit as failed:
        if files_asked and failed.exit_code:
            messages.print("no int8 file was made of what was trained; the same command does once all runs are there")
        raise


def export_rows(study: Path, name: str, whole: bool, quantized: bool, only_write: bool, data_dir: str | None) -> None:
    """Export the finished runs of these rows in int8, but for what is exported already, and name the command that puts
    them on the ladder; or say how."""
    from levelfield.studies.declared.shrink_study import QUANTIZED, WHOLE

    rows = {} if only_write else _finished_runs(study)
    if quantized and (not rows.get(QUANTIZED) or find_spec("onnxruntime") is None):
        first = next((run.path for run in rows.pop(QUANTIZED, [])), study / QUANTIZED / "RUN")
        export_int8(first, Path("exports") / f"{name}-{QUANTIZED}-int8", True, data_dir)
    exported = []
    for row in [*([WHOLE] if whole else []), *([QUANTIZED] if quantized else [])]:
        for run in rows.get(row, []):
            out = files_of(name if row == WHOLE else f"{name}-{row}", run)
            if not _is_exported(run, out):
                export_int8(run.path, out, False, data_dir)
            exported.append(str(out))
    if exported:
        said = f"all in one table: levelfield analyze compression {study} {' '.join(exported)}"
        messages.print(said, soft_wrap=True, highlight=False)


def _finished_runs(study: Path) -> dict[str, list[RunFolder]]:
    """The runs that the table of the study in this folder counts, by row."""
    from levelfield.tables.read_folder import read_study

    return {row.name: [run for run in row.runs if run.finished] for row in read_study(study).rows}


def _is_exported(run: RunFolder, out: Path) -> bool:
    """Whether `out` holds an int8 export of the run with the weights and the temperature that it has now."""
    from levelfield.exports.export_run import held_export

    held, temperature = held_export(out), (run.calibration() or {}).get("temperature", 1.0)
    return held is not None and [held.get(key) for key in ("identity", "weights", "precision", "temperature")] == [
        run.identity, run.weights_digest(), "int8", temperature,
    ]  # fmt: skip


def export_int8(run: Path, out: Path, only_write: bool, data_dir: str | None) -> None:
    """Export the run in int8, whatever it loses, which is then said; or say how where only files are to be written."""
    if only_write:
        said = f"export it: levelfield export {run} --to onnx --int8 --out {out}"
        messages.print(said, soft_wrap=True, highlight=False)
        return
    from levelfield.cli.export import export
    from levelfield.exports.export_run import held_export
    from levelfield.exports.int8 import MOST_LOST

    export(run, to="onnx", out=out, int8=True, allow_loss=True, data_dir=data_dir)
    tested = (held_export(out) or {}).get("tested")
    if tested and (lost := tested["right_in_torch"] - tested["right"]) > MOST_LOST / 100 * tested["images"]:
        fewer = f"{lost:,} of {tested['images']:,} test images fewer right than PyTorch"
        said = f"{out} has {fewer}, more than {MOST_LOST:g} points: kept, so that a ladder shows what int8 costs"
        messages.print(said, style="yellow", soft_wrap=True, highlight=False)
