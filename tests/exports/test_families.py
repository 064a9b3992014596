"""One small network of every built-in family computes in ONNX Runtime, and in OpenVINO, what it computes here.

`benchmarks/export_all.py` does the same for timm's families; its table stands in docs/how-to/export.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from levelfield.data.augment.normalize import Normalize
from levelfield.data.store.resize import Fit
from levelfield.exports.forms import FORMS, To
from levelfield.exports.program import ImageProgram, Layout, traced
from levelfield.known_models.built_in import built_in
from levelfield.models import create_model, list_models
from levelfield.module_mode import averaged_twin
from needed import need

SMALL = {
    "ConvNeXt": ("convnext_nano_p2", 32), "ConvNeXt roadmap": ("roadmap_1", 64),
    "EfficientNet": ("efficientnetv2_0.6m", 32), "MaxViT": ("maxvit_0.6m", 32),
    "OutGridViT": ("outgrid_nano", 32), "ReXNet": ("rexnet_tiny_0.35", 32), "ResNet": ("resnet_nano", 32),
    "Swin": ("swin_0.6m", 32), "ViT": ("vit_mini", 32),
}  # fmt: skip


def test_every_family_is_here() -> None:
    assert set(SMALL) == {built_in()[name].info.family for name in list_models()}


@pytest.mark.slow  # eighteen traces; where the runtimes are installed
@pytest.mark.parametrize("to", [To.ONNX, To.OPENVINO])
@pytest.mark.parametrize("family", SMALL)
def test_a_family_computes_the_same_in_another_runtime(family: str, to: To, tmp_path: Path) -> None:
    form = FORMS[to]
    need(*form.packages)
    name, size = SMALL[family]
    torch.manual_seed(0)
    network = averaged_twin(create_model(name, num_classes=10))
    normalize = Normalize("imagenet", (), (), torch.contiguous_format)
    program = ImageProgram(network, Fit("resize", size), size, normalize, 1.0, Layout.NCHW, form.branches)
    form.write(traced(program, size), {}, tmp_path / form.file)
    runtime = form.open(tmp_path / form.file, 1)
    for batch in (1, 3):
        images = np.random.default_rng(batch).integers(0, 256, (batch, 3, size, size), dtype=np.uint8)
        probabilities, logits = runtime(images)
        with torch.inference_mode():
            own = network(normalize(torch.from_numpy(images)))
        np.testing.assert_allclose(logits, own.numpy(), atol=1e-4 * float(own.abs().max()))
        np.testing.assert_allclose(probabilities, own.softmax(1).numpy(), atol=1e-5)
