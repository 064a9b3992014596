"""Ranks of a network's layers, on networks whose ranks are known by construction."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.analysis.bottlenecks import bottlenecks, summarise
from levelfield.analysis.measures import nuclear_norm, singular_values
from levelfield.analysis.network_rank import LayerRank, calibrate_batch_norm, layers, measure_network

IMAGES = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def measure(model: nn.Module) -> list[LayerRank]:
    return measure_network(model, lambda: iter([IMAGES[:8], IMAGES[8:]]), len(IMAGES))


class Net(nn.Module):
    """Widening 3 -> 8, a 1x1 convolution of rank 1, a residual added in place, then pooling and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.widen = nn.Conv2d(3, 8, 1, bias=False)
        self.thin = nn.Conv2d(8, 8, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 4)
        with torch.no_grad():
            self.widen.weight.copy_(torch.randn(8, 3, 1, 1, generator=generator))
            one = torch.randn(8, 1, generator=generator) @ torch.randn(1, 8, generator=generator)
            self.thin.weight.copy_(one[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        x = self.widen(x)
        y = self.norm(self.thin(x))
        y += x
        return self.head(self.act(y).mean((2, 3)))


def test_known_ranks_and_what_was_lost() -> None:
    widen, thin, head = measure(Net())
    assert (widen.name, widen.kind, widen.d_in, widen.d_out, widen.rank, widen.input_rank) == (
        "widen",
        "1x1",
        3,
        8,
        3,
        3,
    )
    assert widen.positions == 12 * 64 and widen.judged and widen.lost == 0 and widen.ratio == 0.375
    assert (thin.rank, thin.input_rank, thin.lost) == (1, 3, 2)
    assert head.positions == 12 and not head.judged


def test_a_layer_ends_with_what_is_called_on_its_output_alone() -> None:
    ends = {layer.name: type(layer.end) for layer in layers(Net(), IMAGES[:1])}
    assert ends == {"widen": nn.Conv2d, "thin": nn.BatchNorm2d, "head": nn.Linear}
    block = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Identity(), nn.SiLU(), nn.AvgPool2d(2))
    (layer,) = layers(block, IMAGES[:1])
    assert layer.end is block[3]


def test_norms_that_hold_their_own_activation_end_a_layer() -> None:
    timm_layers = pytest.importorskip("timm.layers")
    block = nn.Sequential(nn.Conv2d(3, 6, 1), timm_layers.BatchNormAct2d(6))
    (layer,) = layers(block, IMAGES[:1])
    assert layer.end is block[1]


def test_measures_are_those_of_the_feature_matrix() -> None:
    """Against the plain decomposition of the features, computed without hooks or Gram matrices."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 10, 3, padding=1), nn.BatchNorm2d(10), nn.ReLU(), nn.Conv2d(10, 5, 1)).eval()
    first, _ = measure(model)
    with torch.no_grad():
        features = F.relu(model[1](model[0](IMAGES))).permute(1, 0, 2, 3).flatten(1)
    values = singular_values(features / features.shape[1] ** 0.5)
    assert first.nuclear_norm == pytest.approx(nuclear_norm(values).item(), rel=1e-5)
    assert first.rank == int((values > 1e-3 * values[0]).sum())


def test_linear_layers_on_tokens_are_measured_by_their_last_axis() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 9, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.fc(x.flatten(2).mT)
            return out

    (fc,) = measure(Tokens())
    assert (fc.kind, fc.rank, fc.input_rank, fc.positions) == ("linear", 3, 3, 768)


def test_advice_names_the_worst_first_and_the_right_remedy() -> None:
    found = bottlenecks(measure(Net()))
    assert [advice.layer for advice in found] == ["thin", "widen"]
    assert (
        "2 of the 3 directions that came in are lost" in found[0].finding and "another non-linearity" in found[0].remedy
    )
    assert "d_in/d_out 0.38" in found[1].finding and "widen its input" in found[1].remedy
    summary = summarise(measure(Net()))
    assert (summary.layers, summary.judged, summary.bottlenecks, summary.lost) == (3, 2, 2, 2)
    assert summary.filled == pytest.approx((3 / 8 + 1 / 8) / 2)
    assert (summary.final_name, summary.final_rank, summary.final_width) == ("thin", 1, 8)


def test_calibration_gives_batch_norm_the_images_statistics() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.9))
    calibrate_batch_norm(model, IMAGES)
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm2d) and norm.momentum == 0.1 and not model.training
    out = model(IMAGES)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var((0, 2, 3)), torch.ones(4), atol=1e-2, rtol=0)
