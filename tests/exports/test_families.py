"""One small network of every built-in family computes in ONNX Runtime, and in OpenVINO, what it computes here.

`benchmarks/export_all.py` does the same for timm's families; its table stands in docs/how-to/export.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from levelfield.data.augment.normalize import Normalize
from levelfield.data.store.resize import Fit
from levelfield.exports.forms import FORMS, Form, To
from levelfield.exports.program import ImageProgram, Layout, traced
from levelfield.known_models.built_in import built_in
from levelfield.models import create_model, list_models
from levelfield.models.adapt_timm.timm_models import fit_timm
from levelfield.module_mode import averaged_twin
from needed import need

SMALL = {
    "ConvNeXt": ("convnext_nano_p2", 32), "ConvNeXt roadmap": ("roadmap_1", 64),
    "EfficientNet": ("efficientnetv2_0.6m", 32), "MaxViT": ("maxvit_0.6m", 32),
    "OutGridViT": ("outgrid_nano", 32), "ReXNet": ("rexnet_tiny_0.35", 32), "ResNet": ("resnet_nano", 32),
    "Swin": ("swin_0.6m", 32), "ViT": ("vit_mini", 32),
}  # fmt: skip


OF_TIMM = ("test_byobnet", "test_coatnet", "test_mambaout", "test_nfnet", "test_vit_relpos")
"""Files of timm of which a member is small enough for a test; all are in the table of docs/how-to/export.md."""


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
    same_in(form, averaged_twin(create_model(name, num_classes=10)), size, tmp_path)


@pytest.mark.slow  # a trace each
@pytest.mark.parametrize("name", OF_TIMM)
def test_a_network_of_timm_computes_the_same_in_onnx_runtime(name: str, tmp_path: Path) -> None:
    form = FORMS[To.ONNX]
    need(*form.packages)
    torch.manual_seed(0)
    same_in(form, averaged_twin(fit_timm(name, 10, 32)[0]), 32, tmp_path)


class Attention(nn.Module):
    """Attention over `batch` dimensions before those of tokens and channels; `mask`: None, added, or what is seen."""

    def __init__(self, batch: int, mask: str | None) -> None:
        super().__init__()
        self.qkv, self.head, self.batch, self.mask = nn.Linear(3, 24), nn.Linear(8, 5), batch, mask

    def forward(self, images: Tensor) -> Tensor:
        q, k, v = self.qkv(images.flatten(2).mT).chunk(3, -1)
        mask = {None: None, "added": q @ k.mT, "seen": (q @ k.mT) > 0}[self.mask]
        if self.batch == 3:
            q, k, v = (each.unflatten(1, (4, 2, -1)) for each in (q, k, v))
        said = functional.scaled_dot_product_attention(q, k, v, mask, scale=3.0)
        logits: Tensor = self.head(said.flatten(1, -2).mean(1))
        return logits


@pytest.mark.parametrize("to", [To.ONNX, To.OPENVINO])
@pytest.mark.parametrize(("batch", "mask"), [(1, None), (1, "added"), (1, "seen"), (3, None)])
def test_attention_over_other_than_four_dimensions_is_exported(
    batch: int, mask: str | None, to: To, tmp_path: Path
) -> None:
    """As SAM's (3) and that of windows (5: Hiera, NesT, Twins): torch's exporter has no form, OpenVINO a wrong one."""
    form = FORMS[to]
    need(*form.packages)
    torch.manual_seed(0)
    same_in(form, averaged_twin(Attention(batch, mask)), 8, tmp_path)


def same_in(form: Form, network: nn.Module, size: int, folder: Path) -> None:
    """The form's runtime computes what the network does, for other batches than the traced one."""
    normalize = Normalize("imagenet", (), (), torch.contiguous_format)
    program = ImageProgram(network, Fit("resize", size), size, normalize, 1.0, Layout.NCHW, form.branches)
    form.write(traced(program, size), {}, folder / form.file)
    runtime = form.open(folder / form.file, 1)
    for batch in (1, 3):
        images = np.random.default_rng(batch).integers(0, 256, (batch, 3, size, size), dtype=np.uint8)
        probabilities, logits = runtime(images)
        with torch.inference_mode():
            own = network(normalize(torch.from_numpy(images)))
        np.testing.assert_allclose(logits, own.numpy(), atol=1e-4 * float(own.abs().max()))
        np.testing.assert_allclose(probabilities, own.softmax(1).numpy(), atol=1e-5)
