"""The random networks: their convolutions are convolutions, and their ranks are those of algebra."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from levelfield.analysis.feature_ranks.random_networks import (
    KINDS,
    NONLINEARITIES,
    Setting,
    depthwise,
    draw,
    features,
    input_width,
    patches,
    sizes,
)
from levelfield.analysis.feature_ranks.rank_measures import default_tolerance, numerical_rank, singular_values
from levelfield.errors import UserError

D = torch.float64


def ranks(kind: str, setting: Setting, ratio: float, d_out: int, name: str) -> list[int]:
    networks = draw(kind, setting, 3, ratio, d_out, [0, 1, 2])
    ((_, matrix),) = features(networks, setting, [name])
    assert matrix.shape == (3, d_out, setting.map_side**2) and matrix.dtype == D
    tolerance = setting.tolerance or default_tolerance(d_out, setting.map_side**2)
    return numerical_rank(singular_values(matrix), tolerance).tolist()


def test_patches_and_depthwise_are_convolutions() -> None:
    x = torch.randn(2, 3, 25, dtype=D)
    dense, deep = torch.randn(2, 4, 27, dtype=D), torch.randn(2, 3, 9, dtype=D)
    for g in range(2):
        image = x[g].view(1, 3, 5, 5)
        full = F.conv2d(image, dense[g].view(4, 3, 3, 3), padding=1).view(4, 25)
        torch.testing.assert_close((dense @ patches(x))[g], full)
        each = F.conv2d(image, deep[g].view(3, 1, 3, 3), padding=1, groups=3).view(3, 25)
        torch.testing.assert_close(depthwise(x, deep)[g], each)


# The rank that algebra gives: (kind, ratio, d_out, expansion) -> rank, in generic position.
LINEAR_ALGEBRA = [
    ("1x1", 0.1, 20, 6.0, 2),
    ("1x1", 0.5, 20, 6.0, 10),
    ("1x1", 1.0, 20, 6.0, 20),
    ("3x3", 0.1, 30, 6.0, 27),
    ("3x3", 0.2, 30, 6.0, 30),
    ("ib_3x3", 0.1, 30, 2.0, 6),
    ("ib_3x3", 0.1, 30, 6.0, 18),
    ("ib_3x3dw", 0.1, 30, 4.0, 12),
    ("ib_3x3dw", 0.1, 30, 8.0, 24),
    ("ib_3x3dw", 0.5, 30, 6.0, 30),
]


@pytest.mark.parametrize(("kind", "ratio", "d_out", "expansion", "rank"), LINEAR_ALGEBRA)
def test_rank_without_nonlinearity_is_that_of_algebra(
    kind: str, ratio: float, d_out: int, expansion: float, rank: int
) -> None:
    assert ranks(kind, Setting(expansion=expansion), ratio, d_out, "linear") == [rank] * 3


def test_a_single_input_channel_gives_relu_two_directions() -> None:
    """Standardised, w·x is ±x whatever w is: every non-linearity sees two signals. BatchNorm's epsilon tells the
    channels apart by 1e-5 of their size, which smooth functions turn into more directions and ReLU does not."""
    exact = Setting(batch_norm_eps=0.0, tolerance=1e-9)
    for name in NONLINEARITIES:
        assert ranks("1x1", exact, 0.1, 12, name) == [1 if name == "linear" else 2] * 3
    assert ranks("1x1", Setting(), 0.1, 12, "ReLU") == [2] * 3
    assert min(ranks("1x1", Setting(), 0.1, 12, "SiLU")) > 2


def test_hard_swish_is_quadratic_where_inputs_stay_small() -> None:
    """Between -3 and 3 it is (x² + 3x) / 6: of 2 uniform inputs, 5 monomials of degree 1 and 2 span all features."""
    setting = Setting(normalisation="none", inputs="uniform", weights="torch_uniform")
    assert ranks("1x1", setting, 0.1, 20, "hard swish") == [5] * 3


def test_an_activation_after_the_bottleneck_lifts_its_cap() -> None:
    assert ranks("ib_3x3dw", Setting(expansion=2.0), 0.1, 30, "ReLU") == [6] * 3
    assert ranks("ib_3x3dw", Setting(expansion=2.0, final_activation=True), 0.1, 30, "ReLU") == [30] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_depends_on_its_number_alone(kind: str) -> None:
    together = draw(kind, Setting(), 7, 0.3, 12, [0, 1, 5])
    alone = draw(kind, Setting(), 7, 0.3, 12, [5])
    other_seed = draw(kind, Setting(), 8, 0.3, 12, [5])
    assert torch.equal(together.inputs[2], alone.inputs[0])
    assert all(torch.equal(a[2], b[0]) for a, b in zip(together.weights, alone.weights, strict=True))
    assert not torch.equal(alone.inputs, other_seed.inputs)


def test_sizes_cover_the_range_evenly_and_do_not_depend_on_their_number() -> None:
    setting = Setting(d_out_min=8, d_out_max=11)
    drawn = sizes(setting, 0, 4000)
    assert torch.equal(sizes(setting, 0, 10), drawn[:10])
    counts = torch.bincount(drawn)[8:]
    assert counts.sum() == 4000 and counts.min() > 880 and counts.max() < 1120


@pytest.mark.parametrize(
    ("ratio", "d_out", "d_in"), [(0.1, 8, 1), (0.1, 4, 1), (0.1, 30, 3), (0.7, 10, 7), (1.0, 9, 9)]
)
def test_input_width(ratio: float, d_out: int, d_in: int) -> None:
    assert input_width(ratio, d_out) == d_in


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"d_out_max": 300}, "map_side"),
        ({"d_out_min": 70}, "d_out_min"),
        ({"weight": "normal"}, "did you mean 'weights'"),
        ({"tolerance": 0.0}, "tolerance"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=named):
        Setting.parse({**Setting().model_dump(), **change})
