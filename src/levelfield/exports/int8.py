"""Post-training quantisation of an ONNX program: its convolutions and products of matrices in int8.

ONNX Runtime's quantiser does it. Weights become int8 per output channel, of 7 bits, so that processors without VNNI,
whose 16-bit sums would saturate, compute what the others compute. The range of each activation is what calibration
images give: the moving average of batches' smallest and largest values; of one that a network has learnt in training to
int8 (`training/fake_quantisation.py`), what it has learnt. What comes before the network (resizing, in
float64, and normalisation) and after its last product (temperature and softmax) stays as it was, and so do the logits.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from levelfield.data.store.splits import Split
from levelfield.data.stratified_sampling import stratified
from levelfield.errors import UserError
from levelfield.training.fake_quantisation import MARK

CALIBRATED_ON: Final = 512
"""Training images that the ranges of activations are taken from; all of them where there are fewer."""
BATCH: Final = 32
PRODUCTS: Final = ("Conv", "MatMul", "Gemm")
"""What computes nearly all of a network, and is worth int8."""
MOST_LOST: Final = 0.3
"""Points of top-1 on the test set that an int8 file may lose."""


@dataclass(frozen=True)
class Quantised:
    """What became of a program: `images` that it was calibrated on, `products` in int8 `of` so many of its own, and the
    activations whose ranges it had `learnt`."""

    images: int
    products: int
    of: int
    learnt: int


def quantise(file: Path, train: Split, planes: bool) -> Quantised:
    """Replace the float32 program in `file` by its int8 form, calibrated on a stratified part of `train`.

    `planes`: whether it takes (B, 3, H, W). Raises UserError where ONNX Runtime cannot quantise it.
    """
    import onnx
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    count = min(CALIBRATED_ON, len(train))
    images = train.read(stratified(train.labels, train.index, count, seed=0, stream="calibration")).numpy()
    given = images if planes else np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    program = onnx.load(str(file))
    notes = {each.key: each.value for each in program.metadata_props}
    learnt = take_marks(program)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, prepared, made = (Path(folder) / f"{name}.onnx" for name in ("plain", "prepared", "made"))
        onnx.save(program, str(plain))
        try:
            quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
            network = named(onnx.load(str(prepared)))
            tensors = {name for node in network.graph.node for name in node.input}
            grids = {name: [grid] for name, grid in learnt.items() if name in tensors}
            inside = within_network(network)
            quantize_static(
                network,
                str(made),
                _Batches(given),
                nodes_to_quantize=inside,
                per_channel=True,
                reduce_range=True,
                extra_options={
                    "CalibMovingAverage": True,
                    "OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"],
                    "TensorQuantOverrides": grids,
                },
            )
        except Exception as error:  # the quantiser's own, of many kinds
            said = " ".join(str(error).split()) or type(error).__name__
            raise UserError(
                f"ONNX Runtime cannot quantise this network: {said[:300]}\nexport it without --int8"
            ) from error
        model = onnx.load(str(made))
    del model.metadata_props[:]
    for key, value in notes.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(file))
    products = [node for node in model.graph.node if node.op_type in PRODUCTS]
    made_by = {output: node for node in model.graph.node for output in node.output}
    whole = [node for node in products if all(_dequantised(made_by.get(name)) for name in node.input[:2])]
    return Quantised(count, len(whole), len(products), len(grids))


def take_marks(model: Any) -> dict[str, dict[str, Any]]:
    """Take the nodes that note a learnt range out of `model`, and return these: scale and zero point of tensors."""
    domain, _, kind = MARK.partition("::")
    marks = [node for node in model.graph.node if (node.domain, node.op_type) == (domain, kind)]
    marked = {node.output[0]: node.input[0] for node in marks}
    for node in model.graph.node:
        node.input[:] = [marked.get(name, name) for name in node.input]
    grids = {}
    for node in marks:
        model.graph.node.remove(node)
        noted = {each.name: each for each in node.attribute}
        scale, zero = (np.array(value, kind) for value, kind in ((noted["step"].f, "f4"), (noted["zero"].i, "i1")))
        grids[marked[node.output[0]]] = {"scale": scale, "zero_point": zero}
    domains = [each for each in model.opset_import if each.domain != domain]
    del model.opset_import[:]
    model.opset_import.extend(domains)
    return grids


def named(model: Any) -> Any:
    """`model`, each node of its graph with a name of its own."""
    for number, node in enumerate(model.graph.node):
        node.name = f"{number}_{node.op_type}"
    return model


def within_network(model: Any) -> list[str]:
    """Names of the nodes from the first product of the graph to its last: the network itself."""
    nodes = list(model.graph.node)
    places = [place for place, node in enumerate(nodes) if node.op_type in PRODUCTS]
    return [node.name for node in nodes[places[0] : places[-1] + 1]] if places else []


def _dequantised(node: Any) -> bool:
    return node is not None and node.op_type == "DequantizeLinear"


class _Batches:
    """Batches of the images for the calibrator, as ONNX Runtime asks for them."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        parts = np.array_split(images, -(-len(images) // BATCH))
        self._parts = iter([{"images": part} for part in parts])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next batch; None after the last."""
        return next(self._parts, None)

    def __iter__(self) -> Iterator[dict[str, NDArray[np.uint8]]]:
        return self._parts


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice on the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
