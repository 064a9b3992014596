"""Mixing and targets against their formulas (arXiv 1710.09412, 1905.04899, 1512.00567)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from levelfield.data.augment import build_mix, soft_targets
from levelfield.data.augment.mixup_cutmix import cutmix_box
from levelfield.errors import UserError
from levelfield.spec import Mix

MIXES = {
    "mixup": {"mixup_alpha": 0.8},
    "cutmix": {"cutmix_alpha": 1.0},
    "both": {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "probability": 0.7},
}
CASES = [(name, mode) for name in MIXES for mode in ("batch", "element")]


def mix_of(name: str, mode: str = "batch", **more: float) -> Mix:
    return Mix.model_validate({**MIXES[name], "mode": mode, **more})


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.floats(0, 1, width=32)), min_size=1, max_size=9),
    smoothing=st.floats(0, 0.9),
    with_mix=st.booleans(),
    mixed=st.booleans(),
)
def test_targets_follow_the_formula(
    labels: list[tuple[int, int, float]], smoothing: float, with_mix: bool, mixed: bool
) -> None:
    own, partner, lam = (torch.tensor(column) for column in zip(*labels, strict=True))
    lam = lam.float()
    got = soft_targets(own, partner if mixed else None, lam if mixed else None, 7, smoothing, with_mix)
    s = smoothing if with_mix or not mixed else 0.0
    for row, (y, z, share) in enumerate(labels):
        a = share if mixed else 1.0
        want = [(1 - s) * (a * (c == y) + (1 - a) * (c == z)) + s / 7 for c in range(7)]
        assert got[row].tolist() == pytest.approx(want, abs=1e-6)
    assert got.dtype == torch.float32
    assert got.sum(1).tolist() == pytest.approx([1.0] * len(labels), abs=1e-5)


@settings(max_examples=80, deadline=None)
@given(
    lam=st.floats(0, 1), cy=st.floats(0, 1, exclude_max=True), cx=st.floats(0, 1, exclude_max=True),
    height=st.integers(1, 50), width=st.integers(1, 50),
)  # fmt: skip
def test_a_box_has_the_papers_size_and_place(lam: float, cy: float, cx: float, height: int, width: int) -> None:
    y0, y1, x0, x1 = cutmix_box(*(torch.tensor([v], dtype=torch.float64) for v in (lam, cy, cx)), height, width)[
        0
    ].tolist()
    for lo, hi, centre, extent in ((y0, y1, cy, height), (x0, x1, cx, width)):
        side, middle = int(extent * math.sqrt(1 - lam)), int(centre * extent)
        assert (lo, hi) == (max(0, middle - side // 2), min(extent, middle - side // 2 + side))


@pytest.mark.parametrize(("name", "mode"), CASES)
@pytest.mark.parametrize("batch", [7, 8])
def test_images_are_mixed_as_planned_and_ranks_agree(name: str, mode: str, batch: int) -> None:
    x = torch.randn(batch, 3, 12, 12, generator=torch.Generator().manual_seed(3))
    mixing = build_mix(mix_of(name, mode), 12)
    cut = blended = untouched = 0
    for step in range(12):
        plan = mixing.plan(batch, seed=1, epoch=0, step=step)
        whole = mixing.apply(x, plan)
        assert sorted(plan.partner.tolist()) == list(range(batch))
        for row, (partner, lam, (y0, y1, x0, x1)) in enumerate(
            zip(plan.partner.tolist(), plan.lam.tolist(), plan.box.tolist(), strict=True)
        ):
            if y1 > y0 and x1 > x0:
                want = x[row].clone()
                want[:, y0:y1, x0:x1] = x[partner][:, y0:y1, x0:x1]
                assert lam == pytest.approx(1 - (y1 - y0) * (x1 - x0) / 144)
                cut += 1
            else:
                want = lam * x[row] + (1 - lam) * x[partner]
                blended, untouched = blended + (lam < 1), untouched + (lam == 1)
            torch.testing.assert_close(whole[row], want, atol=1e-6, rtol=1e-5)
        for rows in (torch.arange(0, batch, 2), torch.arange(1, batch, 2)):
            part = mixing.apply(x[rows], plan, x[plan.partner[rows]], rows)
            assert torch.equal(part, whole[rows])
    assert (cut > 0) == (name != "mixup") and (blended > 0) == (name != "cutmix")
    assert untouched > 0 if name == "both" else blended + cut > 10 * batch


def test_probabilities_and_lambda_are_those_asked_for() -> None:
    mixing = build_mix(mix_of("both", switch_probability=0.25), 32)
    plans = [mixing.plan(16, 0, epoch=2, step=step) for step in range(600)]
    mixed = [plan for plan in plans if plan.mixed]
    cut = [plan for plan in mixed if plan.box.any()]
    assert 0.64 < len(mixed) / 600 < 0.76 and 0.19 < len(cut) / len(mixed) < 0.31
    lam = torch.stack([plan.lam[0] for plan in mixed if not plan.box.any()])
    assert abs(lam.mean() - 0.5) < 0.05
    assert abs(lam.var() - 1 / (4 * (2 * 0.8 + 1))) < 0.02  # variance of Beta(0.8, 0.8)


def test_a_plan_depends_on_its_coordinates_only() -> None:
    mixing = build_mix(mix_of("both", "element"), 32)
    one, again, other = (mixing.plan(32, *at) for at in ((1, 2, 3), (1, 2, 3), (1, 2, 4)))
    assert (
        torch.equal(one.lam, again.lam) and torch.equal(one.partner, again.partner) and torch.equal(one.box, again.box)
    )
    assert not torch.equal(one.lam, other.lam) and not torch.equal(one.partner, other.partner)


def test_no_mixing_returns_the_images_themselves() -> None:
    x, mixing = torch.randn(4, 3, 8, 8), build_mix(Mix(), 8)
    plan = mixing.plan(4, 0, 0, 0)
    assert not plan.mixed and mixing.apply(x, plan) is x and plan.lam.tolist() == [1.0] * 4


def test_some_rows_without_partners_are_refused() -> None:
    mixing = build_mix(mix_of("mixup"), 8)
    with pytest.raises(UserError, match="2 of 4 rows need their partners"):
        mixing.apply(torch.randn(2, 3, 8, 8), mixing.plan(4, 0, 0, 0))
