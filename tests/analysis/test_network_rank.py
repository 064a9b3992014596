"""Ranks of a network's layers, on networks whose ranks are known by construction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield import native
from levelfield.analysis.feature_ranks.bottlenecks import bottlenecks, summarise
from levelfield.analysis.feature_ranks.layers import find_layers
from levelfield.analysis.feature_ranks.network_rank import COLUMNS, LayerRank, calibrate_batch_norm, measure_network
from levelfield.analysis.feature_ranks.rank_measures import nuclear_norm, singular_values
from levelfield.models import create_model, list_models, model_info, on_meta

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


def ends(model: nn.Module, images: Tensor = IMAGES) -> dict[str, str]:
    return {layer.name: layer.end for layer in find_layers(model.eval(), images[:1])}


def test_a_layer_ends_with_what_is_called_on_its_output_alone() -> None:
    assert ends(Net()) == {"widen": "Conv2d", "thin": "batch_norm", "head": "Linear"}
    block = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Identity(), nn.SiLU(), nn.AvgPool2d(2))
    assert ends(block) == {"0": "silu"}


@pytest.mark.parametrize(
    "after",
    [
        lambda block, x: F.relu(block.norm(x)),
        lambda block, x: F.relu(block.norm(x), inplace=True),
        lambda block, x: block.norm(x).relu_(),
        lambda block, x: block.act(block.norm(x)),
        lambda block, x: block.joint(x),
        lambda block, x: F.relu(block.norm(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
        lambda block, x: torch.relu(block.norm(x).flatten(start_dim=2).transpose(1, 2)).transpose(1, 2),
    ],
)
def test_a_non_linearity_is_seen_however_it_is_called(after: Callable[[Any, Tensor], Tensor]) -> None:
    """As a module, a function, a method, in place, inside the norm, on permuted axes: one layer, one set of ranks."""
    timm_layers = pytest.importorskip("timm.layers")

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.conv = nn.Conv2d(3, 9, 1)
            self.norm = nn.BatchNorm2d(9)
            self.act = nn.ReLU(inplace=True)
            self.joint = timm_layers.BatchNormAct2d(9)

        def forward(self, x: Tensor) -> Tensor:
            return after(self, self.conv(x))

    assert ends(Block()) == {"conv": "relu"}
    (layer,) = measure(Block())
    with torch.no_grad():
        block = Block().eval()
        features = F.relu(block.norm(block.conv(IMAGES))).permute(1, 0, 2, 3).flatten(1)
    assert layer.positions == features.shape[1] and layer.positions_per_image == 64
    values = singular_values(features / features.shape[1] ** 0.5)
    assert layer.nuclear_norm == pytest.approx(nuclear_norm(values).item(), rel=1e-5)


def test_positions_are_drawn_from_the_whole_map() -> None:
    """Images dark but for the middle: a sample of the left border, or of any column, would see nothing."""
    images = torch.zeros(64, 3, 64, 64)
    images[:, :, :, 24:40] = torch.randn(64, 3, 64, 16, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False))

    def batches() -> Iterator[Tensor]:
        return iter(images.split(32))

    (layer,) = measure_network(model, batches, 64)
    (again,) = measure_network(model, batches, 64)
    (other,) = measure_network(model, batches, 64, seed=1)
    with torch.no_grad():
        everything = model(images).permute(1, 0, 2, 3).flatten(1)
    whole = nuclear_norm(singular_values(everything / everything.shape[1] ** 0.5)).item()
    assert layer.positions == COLUMNS and layer == again != other
    for sampled in (layer, other):  # a quarter of the positions count: a standard error of 1.3 %
        assert sampled.nuclear_norm == pytest.approx(whole, rel=0.05)


def smallest_of_every_family() -> list[str]:
    sizes: dict[str, tuple[int, str]] = {}
    for name in list_models():
        info = model_info(name)
        if info.plugin is None:
            size = sum(parameter.numel() for parameter in on_meta(name).parameters())
            sizes[info.family] = min(sizes.get(info.family, (size, name)), (size, name))
    return [name for _, name in sizes.values()]


@pytest.fixture
def fast_forms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Call with False to leave the compiled library out, with True to use it where it is built."""

    def use(on: bool) -> None:
        monkeypatch.setenv("LEVELFIELD_NATIVE", str(int(on)))
        native.library.cache_clear()
        assert on or native.library() is None

    yield use
    monkeypatch.undo()
    native.library.cache_clear()


@pytest.mark.parametrize("name", smallest_of_every_family())
def test_hooks_of_every_family_see_the_same_with_and_without_fast_forms(
    name: str, fast_forms: Callable[[bool], None]
) -> None:
    torch.manual_seed(0)
    model = create_model(name, 10, 32).eval()
    image = torch.randn(1, 3, 32, 32)
    seen: list[list[tuple[str, float]]] = []
    found = []
    for on in (True, False):
        fast_forms(on)
        found.append([(layer.name, layer.end, layer.starts, layer.ends) for layer in find_layers(model, image)])
        seen.append([])
        handles = [
            module.register_forward_hook(
                lambda module, inputs, output, key=key: seen[-1].append((key, float(output.double().norm())))
            )
            for key, module in model.named_modules()
            if key
        ]
        with torch.no_grad():
            model(image)
        for handle in handles:
            handle.remove()
    assert found[0] == found[1] and len(found[0]) > 5
    assert [key for key, _ in seen[0]] == [key for key, _ in seen[1]]
    assert [norm for _, norm in seen[0]] == pytest.approx([norm for _, norm in seen[1]], rel=1e-3)


def test_ranks_are_the_same_with_and_without_fast_forms(fast_forms: Callable[[bool], None]) -> None:
    torch.manual_seed(0)
    model = create_model("outgrid_nano", 10, 32)
    images = torch.randn(4, 3, 32, 32)
    calibrate_batch_norm(model, images)
    measured = []
    for on in (True, False):
        fast_forms(on)
        measured.append(measure_network(model, lambda: iter([images]), 4))
    for fast, plain in zip(*measured, strict=True):
        assert (fast.name, fast.positions, fast.rank) == (plain.name, plain.positions, plain.rank)
        assert fast.nuclear_norm == pytest.approx(plain.nuclear_norm, rel=1e-4)


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
    assert isinstance(norm, nn.BatchNorm2d) and norm.momentum == 0.1 and model.training
    out = model.eval()(IMAGES)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var((0, 2, 3)), torch.ones(4), atol=1e-2, rtol=0)
