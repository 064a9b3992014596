"""Widths at which a network has another's size."""

from __future__ import annotations

import pytest

from levelfield.cost.match_size import match_size
from levelfield.errors import UserError


def test_the_nearest_is_found_and_the_factor_nearest_to_one() -> None:
    def count(factor: float) -> int:
        return round(10 * factor) ** 2  # 100 at 1; steps of a tenth

    assert match_size(count, 100).factor == 1.0
    above = match_size(count, 145)
    assert (
        above.count == 144 and above.factor == pytest.approx(1.15, abs=0.0011) and above.off == pytest.approx(-1 / 145)
    )
    below = match_size(count, 60)
    assert below.count == 64 and below.factor == pytest.approx(0.85, abs=0.0011)


def test_what_lies_outside_is_refused() -> None:
    with pytest.raises(UserError, match="have 1 to 100"):
        match_size(lambda factor: round(10 * factor), 1000)
