"""Whether an ablation's rows are what they are called: the full one as it is said to be, and none the same again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.known_models import known_model
from levelfield.spec import RunSpec
from levelfield.studies.declared.ablation import Ablation, Part
from levelfield.studies.declared.planned_runs import planned_rows
from levelfield.studies.declared.study import StudySpec
from levelfield.studies.declared.tuning import with_setting
from levelfield.studies.running.executor import resolve_here
from levelfield.tables.audit.swept_runs import value_at

OPTIONS: Final = "model.options."
BY_NAME: Final = ("recipe", "data")
"""What a study's changes replace whole, by name."""


def full_run(ablation: Ablation, plugins: Sequence[str] = (), data_dir: str | None = None) -> RunSpec:
    """The run of the full row, as `ablation.changes` make it."""
    draft = _draft(replace(ablation, parts=(), mode="leave-one-out").study())
    return planned_rows(draft, plugins=plugins, data_dir=data_dir)[0].spec


def check_own(ablation: Ablation, plugins: Sequence[str] = (), data_dir: str | None = None) -> None:
    """Raise UserError where a part's first position, which sets nothing, is not what the full row has, and where a part
    that is taken away makes the very training that another row is."""
    full = full_run(ablation, plugins, data_dir)
    for part in ablation.parts:
        has = _own(full, part) if part.key else part.own
        if _plain(has) != part.own:
            raise UserError(
                f"{part.key} is {_plain(has)} here, not {part.own}: a part's first position is the full row's own\n"
                f"put {_plain(has)} first, or --set {part.key}={part.own}"
            )
    rows = planned_rows(_draft(ablation.study()), plugins=plugins, data_dir=data_dir)
    for row, variant in zip(rows, ablation.variants(), strict=True):
        if row.home != row.name and variant.changes:
            raise UserError(
                f"{row.name} would be the very training that {row.home} is: nothing is left to take away there\n"
                "leave that part out, or do not --set it"
            )


def _own(full: RunSpec, part: Part) -> Any:
    """What the full row has where the part stands; as the part says where that is not told or makes the same run."""
    if part.key.startswith(OPTIONS):
        return _own_option(full, part.key.removeprefix(OPTIONS), part.own)
    if part.key in BY_NAME:
        return getattr(full, part.key).name
    said = with_setting(full, {part.key: part.own}, f"--switch {part.key}")
    if said.science() == full.science():
        return part.own
    has = value_at(full, part.key)
    has = value_at(resolve_here(full), part.key) if has is None else has
    return part.own if has == value_at(said, part.key) else has


def _own_option(full: RunSpec, option: str, said: Any) -> Any:
    """What an option of the network is; `said` where that is not told."""
    if option in full.model.options:
        return full.model.options[option]
    known = known_model(full.model.name)
    if known is not None and option in known.switches:
        return known.switches[option][0]
    from levelfield.models.registry import (  # with torch, which the switches of known networks do without
        check_options,
        own_options,
    )

    check_options(full.model.name, [option])
    return own_options(full.model.name).get(option, said)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def _draft(values: dict[str, Any]) -> StudySpec:
    return StudySpec.parse({"name": "draft"} | values, "ablation")
