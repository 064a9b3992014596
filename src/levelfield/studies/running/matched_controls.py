"""The controls of an ablation: each smaller (or larger) network widened to the full one's parameters or MACs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from levelfield.errors import UserError
from levelfield.studies.declared.ablation import WIDTH_FACTOR, Control, Variant
from levelfield.studies.declared.planned_runs import planned_rows
from levelfield.studies.declared.study import StudySpec
from levelfield.studies.running.executor import resolve_here

if TYPE_CHECKING:
    from torch import nn

    from levelfield.spec import ModelSpec

Match = Literal["params", "macs", "none"]
SAME_SIZE = 0.005
"""A network whose size differs by less needs no control."""
OPTION = WIDTH_FACTOR.rpartition(".")[2]
WORDS = {"params": "parameters", "macs": "MACs"}


def matched_controls(
    study: StudySpec,
    variants: Sequence[Variant],
    match: Match,
    plugins: Sequence[str] = (),
    data_dir: str | None = None,
) -> dict[str, Control]:
    """By variant whose size differs from the full one's (the first), the width factor at which it hardly does.

    `study` holds the variants as rows. Networks are counted on the meta device at the run's own classes and image size.
    Raises UserError where a network has no `width_factor`, or none makes it as large.
    """
    if match == "none":
        return {}
    from levelfield.cost.match_size import match_size

    rows = {row.name: row for row in planned_rows(study, "full", plugins=plugins, data_dir=data_dir)}
    count = _counting(match)
    found: dict[str, Control] = {}
    target = 0
    for variant in variants:
        model = resolve_here(rows[variant.name].spec).model
        size = count(model, 1.0)
        target = target or size
        if abs(size / target - 1) < SAME_SIZE:
            continue
        _check_width(model.name)
        try:
            matched = match_size(partial(count, model), target)
        except UserError as error:
            raise UserError(
                f"{variant.name} cannot have {target:,} {WORDS[match]}: {error}\nleave controls out with --match none"
            ) from None
        found[variant.name] = Control(
            round(_width(model) * matched.factor, 6),
            f"{variant.name}, {matched.factor:g} times as wide: {matched.count:,} {WORDS[match]} "
            f"({matched.off:+.1%} of the full network's)",
            matched.off,
        )
    return found


def _width(model: ModelSpec) -> float:
    """The width factor that a network has already."""
    return float(model.options.get(OPTION, 1.0))


def _counting(match: Match) -> Callable[[ModelSpec, float], int]:
    """The size of a model's network, so many times as wide."""
    from levelfield.cost import count_macs, count_parameters
    from levelfield.models import on_meta

    def network(model: ModelSpec, factor: float) -> nn.Module:
        options: dict[str, Any] = dict(model.options)
        if factor != 1.0:
            options[OPTION] = _width(model) * factor
        return on_meta(model.name, model.num_classes, model.image_size, **options)

    def size(model: ModelSpec, factor: float) -> int:
        built = network(model, factor)
        if match == "params":
            return count_parameters(built).total
        assert model.image_size is not None
        return count_macs(built, model.image_size).total

    return size


def _check_width(name: str) -> None:
    from levelfield.models.registry import accepts

    if not accepts(name, OPTION):
        raise UserError(
            f"model {name!r} has no option {OPTION!r}, by which a control would be widened\n"
            "give its builder one, or leave controls out with --match none"
        )
