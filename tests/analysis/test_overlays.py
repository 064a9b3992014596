"""Overlays: rollout and Grad-CAM have closed forms, maps are chosen by the rule, and what is computed is shown."""

from __future__ import annotations

import sys
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from levelfield.analysis.studied_rows import studied
from levelfield.analysis.where_it_looks import overlays_of_run
from levelfield.analysis.where_it_looks.attention_rollout import attention_of, reads, rolled_out, rollout
from levelfield.analysis.where_it_looks.overlays import overlays
from levelfield.analysis.where_it_looks.spatial_map import last_map
from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.models import create_model
from levelfield.page.page import page
from levelfield.page.thumbnails import images_in
from levelfield.progress import Progress
from levelfield.runs import write_json
from levelfield.spec import RunSpec
from levelfield.tables import build_table, read_study
from levelfield.training import train
from needed import need
from synthetic_runs import spec_of, write_run


class Tiny(nn.Module):
    """A convolution, its mean over places, and a linear classifier: Grad-CAM's weights are the classifier's."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 5, 3)
        self.classifier = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.convolution(x).mean((2, 3)))
        return logits


def test_rollout_of_uniform_and_of_identical_attention_and_of_any() -> None:
    uniform = torch.full((2, 3, 5, 5), 0.2)
    through = rollout([uniform] * 4)
    torch.testing.assert_close(through, (torch.eye(5) / 16 + 15 / 16 * 0.2).expand(2, 5, 5))
    torch.testing.assert_close(rolled_out([uniform] * 4, "class token"), torch.full((2, 2, 2), 15 / 16 / 5))
    torch.testing.assert_close(
        rolled_out([uniform[..., :4, :4] * 1.25] * 4, "mean over tokens"), torch.full((2, 2, 2), 0.25)
    )
    itself = torch.eye(5).expand(1, 3, 5, 5)
    torch.testing.assert_close(rollout([itself] * 4), torch.eye(5)[None])
    torch.manual_seed(0)
    one, two = torch.rand(2, 1, 3, 5, 5).softmax(-1)
    by_hand = (two.mean(1) + torch.eye(5)) / 2 @ ((one.mean(1) + torch.eye(5)) / 2)
    torch.testing.assert_close(rollout([one, two]), by_hand)
    torch.testing.assert_close(rolled_out([one, two], "class token").flatten(1), by_hand[:, 0, 1:])


@pytest.mark.parametrize(
    ("name", "side", "read", "layers", "tokens"),
    [
        ("vit_mini", 32, "mean over tokens", 4, 64),
        ("timm:deit_tiny_patch16_224", 64, "class token", 12, 65),
        ("timm:deit_tiny_distilled_patch16_224", 64, "class token", 12, 66),
        ("outgrid_nano", 32, None, 0, 0),
        ("timm:swin_tiny_patch4_window7_224", 56, None, 0, 0),
    ],
)
def test_plain_transformers_give_the_weights_of_every_layer(
    name: str, side: int, read: str | None, layers: int, tokens: int
) -> None:
    torch.manual_seed(0)
    model = create_model(name, 10, side).eval()
    assert reads(model) == read
    if read is None:
        return
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        plain = model(images)
        with attention_of(model) as found:
            watched = model(images)
    torch.testing.assert_close(watched, plain, rtol=1e-3, atol=1e-4)
    assert len(found) == layers and {one.shape[2:] for one in found} == {(tokens, tokens)}
    for weights in found:
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert rolled_out(found, read).shape[1] ** 2 in (tokens, tokens - 1, tokens - 2)


@pytest.mark.parametrize(
    ("name", "side", "layer", "places"),
    [
        ("resnet_nano", 32, "levels.2", 4),
        ("outgrid_nano", 32, "norm", 4),
        ("vit_mini", 32, "norm", 8),
        ("timm:deit_tiny_patch16_224", 64, "blocks.11.norm1", 8),
        ("timm:swin_tiny_patch4_window7_224", 112, "norm", 7),
    ],
)
def test_the_map_is_the_last_with_places_that_count(name: str, side: int, layer: str, places: int) -> None:
    torch.manual_seed(0)
    model = create_model(name, 10, side).eval()
    found = last_map(model, torch.randn(2, 3, side, side))
    assert found is not None
    assert (found.name, found.height, found.width) == (layer, places, places)


def test_grad_cam_is_its_formula() -> None:
    need("pytorch_grad_cam")
    from levelfield.analysis.where_it_looks.grad_cam import grad_cam

    torch.manual_seed(0)
    model, images, classes = Tiny().eval(), torch.randn(3, 3, 8, 8), [2, 0, 3]
    of = last_map(model, images)
    assert of is not None and (of.name, of.height) == ("convolution", 6)
    weights = model.classifier.weight[classes] / 36  # of the mean over 36 places
    expected = torch.einsum("bc,bchw->bhw", weights, model.convolution(images)).relu().detach().numpy()
    low, high = expected.min((1, 2), keepdims=True), expected.max((1, 2), keepdims=True)
    found = grad_cam(model, images, classes, of)
    np.testing.assert_allclose(found, (expected - low) / (high - low), atol=1e-4)
    assert found.min() == 0 and found.max() > 0.999


def trained(folder: Path, model: str) -> None:
    values = {
        "model": {"name": model, "image_size": 16}, "data": {"name": "digits", "image_size": 16, "test_limit": 60},
        "recipe": {"name": "digits-fast"}, "budget": {"steps": 3},
    }  # fmt: skip
    train(RunSpec.parse(values), folder / model / "seed0", progress=Progress(shown=False))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overlays")
    for model in ("vit_mini", "resnet_nano"):
        trained(folder, model)
    return folder


def test_the_most_disagreed_images_are_looked_into_kept_and_shown(study: Path) -> None:
    need("pytorch_grad_cam")
    answer = overlays(studied(study), device="cpu")
    assert answer["chosen"] == "most disagreed" and answer["left_out"] == {}
    (panel,) = answer["panels"]
    vit, resnet = sorted(panel["rows"], key=lambda row: row["row"], reverse=True)
    assert [len(row["images"]) for row in (vit, resnet)] == [8, 8]
    for one, other in zip(vit["images"], resnet["images"], strict=True):
        assert one["index"] == other["index"] and one["predicted"] != other["predicted"]
        assert other["rollout"] is None and np.shape(other["grad_cam"]["map"]) == (2, 2)
        for shown in (one["grad_cam"], one["rollout"]):
            assert np.shape(shown["map"]) == (4, 4) and 0 <= np.min(shown["map"]) <= np.max(shown["map"]) <= 1
        assert Image.open(BytesIO(b64decode(one["picture"]))).size == (16, 16)
    assert (vit["read"], resnet["read"]) == ("mean over tokens", None)
    for weights in study.glob("*/seed0/weights.safetensors"):
        weights.rename(weights.with_suffix(".kept"))
        weights.touch()  # it is not read again
    try:
        assert overlays(studied(study), device="cpu") == answer
    finally:
        for weights in study.glob("*/seed0/weights.kept"):
            weights.replace(weights.with_suffix(".safetensors"))
    write_json(study / "analysis" / "overlays.json", answer)
    table = build_table(read_study(study))
    html = page(table, lambda index: None)
    assert html.count('alt="Grad-CAM of ') == 16 and html.count('alt="Rollout of ') == 8
    assert "Where it looks" in html and "resnet_nano: seed 0, Grad-CAM of levels.2, 2 x 2 places." in html
    assert images_in(html) == {}  # overlays are not taken for the pictures of the first panel
    without = page(table)
    assert 'alt="Grad-CAM of ' not in without and "written without pictures" in without


def test_chosen_images_and_those_that_are_none(study: Path) -> None:
    need("pytorch_grad_cam")
    found = studied(study)
    indices = found.rows[0].runs[0].predictions().index  # type: ignore[union-attr]
    chosen = [int(indices[5]), int(indices[1])]
    answer = overlays(found, chosen, device="cpu")
    assert answer["chosen"] == "by --images"
    assert [image["index"] for image in answer["panels"][0]["rows"][1]["images"]] == chosen
    with pytest.raises(UserError, match="no test image 99999 in digits"):
        overlays(found, [99999], device="cpu")
    with pytest.raises(UserError, match="25 images are more than a page can show"):
        overlays(found, range(25), device="cpu")


def test_without_pytorch_grad_cam_it_is_said_what_to_install(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(UserError, match=r"not installed\npip install 'levelfield\[overlays\]'"):
        overlays(studied(study))


def test_rows_without_weights_are_left_out_and_none_is_refused(tmp_path: Path) -> None:
    need("pytorch_grad_cam")
    write_run(tmp_path / "seed0", spec_of("resnet_mini"), images=50)
    with pytest.raises(UserError, match="disagree on no image: choose some with --images"):
        overlays(studied(tmp_path))
    with pytest.raises(UserError, match=r"can be looked into: .*: its weights are not here"):
        overlays(studied(tmp_path), [3])


def test_a_row_whose_data_are_not_here_is_left_out(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("pytorch_grad_cam")
    made = overlays_of_run.overlays_of_run

    def elsewhere(folder: Path, *how: Any) -> dict[str, Any]:
        if "vit_mini" in str(folder):
            raise UserError("data digits is not here\ngive --data-dir")
        return made(folder, *how)

    monkeypatch.setattr(overlays_of_run, "overlays_of_run", elsewhere)
    answer = overlays(studied(study), [2], device="cpu")
    assert answer["left_out"] == {"vit_mini": "data digits is not here"}
    assert [row["row"] for row in answer["panels"][0]["rows"]] == ["resnet_nano"]


def test_what_is_no_index_is_refused() -> None:
    result = CliRunner().invoke(app, ["analyze", "overlays", "nowhere", "--images", "3,x"])
    assert isinstance(result.exception, UserError) and "'x' is no index" in str(result.exception)
