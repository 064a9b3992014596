"""The controls of an ablation: networks made wider or deeper, to the full one's parameters or MACs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from levelfield.errors import UserError
from levelfield.studies.declared.ablation import FACTORS, Control, Variant
from levelfield.studies.declared.planned_runs import planned_rows
from levelfield.studies.declared.study import StudySpec
from levelfield.studies.running.executor import resolve_here

if TYPE_CHECKING:
    from torch import nn

    from levelfield.spec import ModelSpec

Match = Literal["params", "macs", "none"]
By = Literal["width", "depth"]
SAME_SIZE = 0.005
"""A network whose size differs by less needs no control."""
WORDS = {"params": "parameters", "macs": "MACs"}
AS = {"width": "wide", "depth": "deep"}


def matched_controls(
    study: StudySpec,
    variants: Sequence[Variant],
    match: Match,
    by: By = "width",
    plugins: Sequence[str] = (),
    data_dir: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Control]:
    """By variant whose size differs from the full one's (the first), the factor of its width or depth at which it
    hardly does. Where none makes it as large, or none comes nearer than it is, it has no control, and `say` is told.

    `study` holds the variants as rows. Networks are counted on the meta device at the run's own classes and image size.
    Raises UserError where a network has no such factor.
    """
    if match == "none":
        return {}
    from levelfield.cost.match_size import match_size

    rows = {row.name: row for row in planned_rows(study, "full", plugins=plugins, data_dir=data_dir)}
    count = _counting(match, by)
    found: dict[str, Control] = {}
    target = 0
    for variant in variants:
        model = resolve_here(rows[variant.name].spec).model
        size = count(model, 1.0)
        target = target or size
        if abs(size / target - 1) < SAME_SIZE:
            continue
        _check_option(model.name, by)
        try:
            matched = match_size(partial(count, model), target)
        except UserError as error:
            say(f"{variant.name} has no control of {target:,} {WORDS[match]}: {error}")
            continue
        if matched.count == size:
            nearest = f"no other {by} comes nearer than its {size:,}"
            say(f"{variant.name} has no control of {target:,} {WORDS[match]}: {nearest}")
            continue
        found[variant.name] = Control(
            round(_own(model, by) * matched.factor, 6),
            f"{variant.name}, {matched.factor:g} times as {AS[by]}: {matched.count:,} {WORDS[match]} "
            f"({matched.off:+.1%} of the full network's)",
            matched.off,
            FACTORS[by],
        )
    return found


def _own(model: ModelSpec, by: By) -> float:
    """The factor that a network has already."""
    return float(model.options.get(_option(by), 1.0))


def _option(by: By) -> str:
    return FACTORS[by].rpartition(".")[2]


def _counting(match: Match, by: By) -> Callable[[ModelSpec, float], int]:
    """The size of a model's network, so many times as wide or deep."""
    from levelfield.cost import count_macs, count_parameters
    from levelfield.models import on_meta
    from levelfield.models.registry import size_misfit

    def network(model: ModelSpec, factor: float) -> nn.Module:
        options: dict[str, Any] = dict(model.options)
        if factor != 1.0:
            options[_option(by)] = _own(model, by) * factor
        return on_meta(model.name, model.num_classes, model.image_size, **options)

    def size(model: ModelSpec, factor: float) -> int:
        built = network(model, factor)
        if match == "params":
            return count_parameters(built).total
        assert model.num_classes is not None and model.image_size is not None
        try:
            return count_macs(built, model.image_size).total
        except Exception as error:
            if (told := size_misfit(error, model.name, model.num_classes, model.image_size, model.options)) is None:
                raise
            raise told from error

    return size


def _check_option(name: str, by: By) -> None:
    from levelfield.models.registry import accepts

    if not accepts(name, _option(by)):
        raise UserError(
            f"model {name!r} has no option {_option(by)!r}, by which a control would be made as large\n"
            "give its builder one, or leave controls out with --match none"
        )
