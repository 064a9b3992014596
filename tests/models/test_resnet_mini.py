"""`resnet_mini`: small images, and the basis that its first layer starts from."""

from __future__ import annotations

import pytest
import torch

from levelfield.models import create_model
from levelfield.models.families.resnet_mini import opponent_cosines


@pytest.mark.parametrize(("side_px", "map_px"), [(8, 1), (16, 1), (28, 3), (32, 3), (64, 7)])
def test_every_level_halves_until_one_pixel_is_left(side_px: int, map_px: int) -> None:
    model = create_model("resnet_mini", num_classes=7).eval()
    features = model.forward_features(torch.zeros(1, 3, side_px, side_px))
    assert features.shape == (1, 192, map_px, map_px)
    assert model.forward_head(features).shape == (1, 7)


def test_first_filters_are_an_orthonormal_basis_and_its_negatives() -> None:
    filters = opponent_cosines().flatten(1)
    torch.testing.assert_close(filters[:12] @ filters[:12].T, torch.eye(12))
    assert torch.equal(filters[12:], -filters[:12])
