"""The forms that a program is exported to: how each is written, and opened again in its own runtime."""

from __future__ import annotations

import importlib
import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from levelfield.errors import UserError

Images = NDArray[np.uint8]
Runtime = Callable[[Images], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""uint8 images in the program's layout to probabilities (B, C) and logits (B, C)."""

OPSET: Final = 18
"""ONNX Runtime has computed it since 2023."""


class To(StrEnum):
    """What a run is exported to."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TORCH = "torch-export"


@dataclass(frozen=True)
class Form:
    """`file`: its name. `packages`: what writes it and runs it, as imported. `extra`: levelfield's extra that brings
    those. `write`: the traced program and what is noted in the file, to a path. `open`: from the path, on so many
    threads. `beside`: files that belong to it and share its stem. `branches`: whether its runtime computes a choice
    between two ways that the images' size makes."""

    file: str
    packages: tuple[str, ...]
    extra: str
    write: Callable[[torch.export.ExportedProgram, Mapping[str, str], Path], None]
    open: Callable[[Path, int], Runtime]
    beside: tuple[str, ...] = ()
    branches: bool = True

    def check(self) -> None:
        """Raise UserError where a package is missing."""
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # else its makers hear of each use
        for package in self.packages:
            try:
                importlib.import_module(package)
            except ModuleNotFoundError:
                raise UserError(
                    f"this export needs {package}, which is not installed here\npip install 'levelfield[{self.extra}]'"
                ) from None

    def versions(self) -> dict[str, str]:
        """Of each package, torch's first."""
        return {name: version(name) for name in ("torch", *self.packages)}


def _write_onnx(program: torch.export.ExportedProgram, notes: Mapping[str, str], path: Path) -> None:
    try:
        with _quiet():
            found = torch.onnx.export(
                _attention_by_products(program), dynamo=True, opset_version=OPSET, external_data=False, verbose=False,
                input_names=["images"], output_names=["probabilities", "logits"],
            )  # fmt: skip
    except Exception as error:  # an operator that has no form in ONNX, a conversion that fails
        raise _refused(To.ONNX, "ONNX has no form for it", error.__cause__ or error) from error
    assert found is not None
    found.model.metadata_props.update(notes)
    found.save(str(path), external_data=False)


def _attention_by_products(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program with attention over other than four dimensions (windows, groups) as its products and softmax: torch's
    exporter has a form of four alone, and OpenVINO computes five wrongly."""
    attention = torch.ops.aten.scaled_dot_product_attention.default
    nodes = [node for node in program.graph.nodes if node.target is attention]
    if all(node.args[0].meta["val"].ndim == 4 for node in nodes):
        return program

    def products(
        query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, dropout_p: float = 0.0,
        is_causal: bool = False, *, scale: float | None = None, enable_gqa: bool = False,
    ) -> Any:  # fmt: skip
        if query.ndim == 4 or is_causal or enable_gqa:
            return NotImplemented
        weights = query * (query.shape[-1] ** -0.5 if scale is None else scale) @ key.transpose(-2, -1)
        if mask is not None:
            weights = weights.masked_fill(~mask, -torch.inf) if mask.dtype is torch.bool else weights + mask
        return weights.softmax(-1) @ value

    rewritten: torch.export.ExportedProgram = program.run_decompositions({attention: products})
    return rewritten


def _open_onnx(path: Path, threads: int) -> Runtime:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own, of many kinds: what was written is no valid graph
        raise _refused(To.ONNX, "ONNX Runtime does not load it", error) from error

    def run(images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        probabilities, logits = session.run(["probabilities", "logits"], {"images": images})
        return probabilities, logits

    return run


def _write_openvino(program: torch.export.ExportedProgram, notes: Mapping[str, str], path: Path) -> None:
    import openvino

    try:
        with _quiet():
            model = openvino.convert_model(_attention_by_products(program))
    except Exception as error:  # an operator that has no form there, a conversion that fails
        raise _refused(To.OPENVINO, "OpenVINO has no form for it", error) from error
    (taken,), names = program.graph_signature.user_inputs, ("probabilities", "logits")
    example = next(node.meta["val"] for node in program.graph.nodes if node.name == taken)
    model.inputs[0].get_tensor().set_names({"images"})
    model.reshape([3 if length == 3 else -1 for length in example.shape])
    for output, name in zip(model.outputs, names, strict=True):
        output.get_tensor().set_names({name})
    for key, value in notes.items():
        model.set_rt_info(value, key.split("."))
    openvino.save_model(model, path, compress_to_fp16=False)


def _open_openvino(path: Path, threads: int) -> Runtime:
    import openvino

    # Left to itself it computes in bf16 where the processor does.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    try:
        compiled = openvino.Core().compile_model(path, "CPU", settings)
    except Exception as error:
        raise _refused(To.OPENVINO, "OpenVINO does not load it", error) from error

    def run(images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        said = compiled(images)
        return said["probabilities"], said["logits"]

    return run


def _write_torch(program: torch.export.ExportedProgram, notes: Mapping[str, str], path: Path) -> None:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files=dict(notes))
    path.write_bytes(buffer.getvalue())


def _open_torch(path: Path, threads: int) -> Runtime:
    module: Any = torch.export.load(io.BytesIO(path.read_bytes())).module()

    @torch.inference_mode()
    def run(images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        probabilities, logits = module(torch.from_numpy(images))
        return probabilities.numpy(), logits.numpy()

    return run


FORMS: Final = {
    To.ONNX: Form("model.onnx", ("onnx", "onnxscript", "onnxruntime"), "export", _write_onnx, _open_onnx),
    To.OPENVINO: Form(
        "model.xml", ("openvino",), "openvino", _write_openvino, _open_openvino, beside=("model.bin",), branches=False
    ),
    To.TORCH: Form("model.pt2", (), "export", _write_torch, _open_torch),
}


def _refused(to: To, what: str, error: BaseException) -> UserError:
    said = " ".join(str(error).rpartition("Summary:")[2].split()) or type(error).__name__
    name = "ONNX" if to is To.ONNX else "OpenVINO"
    return UserError(f"this network cannot be exported to {name}: {what}: {said[:300]}\n--to torch-export may hold it")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own rules: deprecated names, folding that it skips, a newer opset."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
