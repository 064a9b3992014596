"""Random erasing: how often, how large, with what; and that a sample alone gets what it gets in a batch."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from levelfield.data.augment.random_erasing import draw_boxes, erase
from levelfield.spec.augment import Erasing


def test_boxes_have_the_papers_area_shape_and_place() -> None:
    erasing = Erasing(probability=0.5, area=(0.02, 0.2), ratio=(0.3, 3.3))
    boxes = draw_boxes(erasing, (200, 200), torch.arange(4000), 1, 2)
    assert 0.47 < len(boxes.row) / 4000 < 0.53
    area = (boxes.height * boxes.width).double() / 200**2
    ratio = torch.log(boxes.height / boxes.width).double()
    assert area.min() > 0.0195 and area.max() < 0.2055
    assert stats.kstest(area.numpy(), stats.uniform(0.02, 0.18).cdf).pvalue > 1e-3
    low, high = math.log(0.3), math.log(3.3)
    assert stats.kstest(ratio.numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-3
    for start, extent in ((boxes.top, boxes.height), (boxes.left, boxes.width)):
        assert start.min() >= 0 and (start + extent).max() <= 200
        assert stats.kstest(((start + 0.5) / (200 - extent + 1)).numpy(), "uniform").pvalue > 1e-3


def test_a_box_as_large_as_the_image_is_never_drawn() -> None:
    boxes = draw_boxes(Erasing(probability=1, area=(0.9, 1.0), ratio=(1, 1)), (8, 8), torch.arange(300), 0, 0)
    assert (boxes.height < 8).all() and (boxes.width < 8).all()
    assert len(draw_boxes(Erasing(probability=1, area=(1, 1), ratio=(1, 1)), (8, 8), torch.arange(9), 0, 0).row) == 0


@pytest.mark.parametrize("value", ["constant", "random", "pixel"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_box_is_filled_and_nothing_else(value: str, layout: torch.memory_format) -> None:
    erasing = Erasing.model_validate({"probability": 0.5, "value": value})
    x = torch.full((60, 3, 24, 20), 9.0).contiguous(memory_format=layout)
    index = torch.arange(1000, 1060)
    out = erase(x.clone(memory_format=torch.preserve_format), erasing, index, 3, 4)
    boxes = draw_boxes(erasing, (24, 20), index, 3, 4)
    untouched, filled = out.clone(), []
    for row, top, left, height, width in zip(*(part.tolist() for part in boxes), strict=True):
        box = out[row, :, top : top + height, left : left + width]
        filled.append(box)
        untouched[row, :, top : top + height, left : left + width] = 9.0
    assert torch.equal(untouched, x) and len(filled) > 15
    if value == "constant":
        assert all((box == 0).all() for box in filled)
    elif value == "random":
        assert all(torch.equal(box, box[:, :1, :1].expand_as(box)) for box in filled)
        assert len({tuple(box[:, 0, 0].tolist()) for box in filled}) == len(filled)
    else:
        noise = torch.cat([box.flatten() for box in filled])
        assert stats.kstest(noise.numpy(), "norm").pvalue > 1e-3 and len(noise.unique()) > 0.8 * len(noise)
    for rows in (torch.arange(0, 60, 2), torch.tensor([7])):
        part = erase(x[rows].contiguous(memory_format=layout), erasing, index[rows], 3, 4)
        assert torch.equal(part, out[rows])
