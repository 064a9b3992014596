"""A published value beside a measured one: only where both were measured on the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from levelfield.statistics.intervals import Estimate, further_run


@dataclass(frozen=True)
class Conditions:
    """What a score was measured on. `reduced`: what was made smaller (images, scale), in words; None where unknown."""

    data: str | None
    num_classes: int | None
    reduced: tuple[str, ...] = ()


@dataclass(frozen=True)
class AgainstPublished:
    """`difference`: measured mean - published. `inside`: whether the published value lies where one further run would
    fall (`further_run`), as it is one run, or the best of some; None where there is no interval. All None where not
    comparable, with `reasons`.
    """

    published: float
    difference: float | None
    inside: bool | None
    reasons: tuple[str, ...] = ()


def not_comparable(measured: Conditions, published: Conditions) -> tuple[str, ...]:
    """Why a published value may not be compared; empty where it may. What is unknown (None) is not held against it."""
    reasons = []
    if published.data is not None and measured.data != published.data:
        reasons.append(f"published on {published.data}, measured on {measured.data}")
    if published.num_classes is not None and measured.num_classes not in (None, published.num_classes):
        reasons.append(f"published with {published.num_classes} classes, measured with {measured.num_classes}")
    return tuple(reasons) + measured.reduced


def against_published(
    scores: Sequence[float],
    published: float,
    measured_on: Conditions,
    published_on: Conditions,
    one_more: Estimate | None = None,
) -> AgainstPublished:
    """Compare `scores` (one per seed, at least one) with a `published` value of the same unit.

    `one_more`: where one further run would fall; None: by the scores alone.
    """
    if reasons := not_comparable(measured_on, published_on):
        return AgainstPublished(published, None, None, reasons)
    one_more = one_more or further_run(scores)
    return AgainstPublished(published, one_more.value - published, one_more.holds(published))
