"""From the parts of a network or a recipe to the study that takes them away: leave-one-out, add-one-in, full factorial.

A part is a key of a run with the positions that it can have, the first of them as it is. A network's are the switches
that it was registered with, a recipe's are those that it uses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Final, Literal, NamedTuple

from levelfield.errors import UserError, unknown
from levelfield.known_models import ModelInfo
from levelfield.runs import folder_name
from levelfield.spec import Recipe
from levelfield.spec.augment import PadCrop, RandomResizedCrop
from levelfield.studies.declared.study import Changes

Mode = Literal["leave-one-out", "add-one-in", "factorial"]
NEAR: Final = 0.05
"""A control whose size is further off than this share is not called as large."""
OWN: Final = "own"
"""What the position is called in which a network or recipe is itself."""
FACTORS: Final = {"width": "model.options.width_factor", "depth": "model.options.depth_factor"}
"""The key of a run that makes its network as many times as wide or deep (`models/size_rule.py`)."""
BARE: Final = "bare"
"""What the row is called that has none of the parts."""
MOST_FACTORS: Final = 4
"""A full factorial of more parts has more rows than anybody trains."""


@dataclass(frozen=True)
class Part:
    """A part by `name`. `positions`: how each is called in a row's name, and what it sets; the first sets nothing.

    `key`: the key of a run that its positions are of, `own`: what it is said to be where nothing sets it; no key for
    what a recipe is seen to use.
    """

    name: str
    positions: tuple[tuple[str, Changes], ...]
    key: str = ""
    own: Any = None

    @property
    def others(self) -> tuple[tuple[str, Changes], ...]:
        """The positions in which the network or recipe is not itself."""
        return self.positions[1:]

    @property
    def absent(self) -> bool:
        """Whether the network or recipe as it is is without it, so that its other position is that of having it."""
        return bool(self.key) and self.own in (False, None)

    @property
    def on(self) -> tuple[str, Changes]:
        """The position that stands for the part's presence."""
        return self.positions[1 if self.absent else 0]

    @property
    def off(self) -> tuple[str, Changes]:
        """The position that stands for the part's absence."""
        return self.positions[0 if self.absent else 1]


class Control(NamedTuple):
    """The `factor` at which a network without a part is as large as the full one, the row's `note`, by which share of
    the full one's size it is `off` that (channels and blocks are whole numbers), and of which of `FACTORS` it is, by
    `key`."""

    factor: float
    note: str
    off: float = 0.0
    key: str = FACTORS["width"]

    @property
    def in_words(self) -> str:
        """What a comparison with the full one is at."""
        return "at equal size" if abs(self.off) <= NEAR else f"at {100 * (1 + self.off):.0f} % of the full size"


@dataclass(frozen=True)
class Variant:
    """A row of an ablation: its name, and what it sets; `turned`: its positions that are not the full one's."""

    name: str
    changes: Changes
    turned: tuple[str, ...] = ()


def parts_of_model(info: ModelInfo, only: Sequence[str] = ()) -> list[Part]:
    """The switches of a network, or those named. Raises UserError where it has none, or none of a name."""
    if not info.switches:
        raise UserError(
            f"model {info.name!r} has no switches to ablate; register it with switches={{...}}, "
            "or name keys of the run: --switch model.options.KEY=OWN,OTHER"
        )
    for name in only:
        if name not in info.switches:
            raise unknown(f"switch of model {info.name!r}", name, info.switches, "it has " + ", ".join(info.switches))
    chosen = {name: positions for name, positions in info.switches.items() if not only or name in only}
    return [_part(name, f"model.options.{name}", positions) for name, positions in chosen.items()]


def part_of_key(key: str, positions: Sequence[Any], taken: Sequence[str] = ()) -> Part:
    """Any key of a run as a part: its own value first, as the study has it. It is called by the key's last word, by the
    whole key where that is `taken`. Raises UserError for fewer than two positions."""
    if len(positions) < 2:
        raise UserError(f"--switch {key}: give its own position and others, as in {key}=64,32")
    last = key.rpartition(".")[2]
    return _part(key if last in taken else last, key, positions)


def parts_of_recipe(recipe: Recipe) -> list[Part]:
    """What of a recipe can be left out and is in use: augmentation, mixing, regularisation, averaging, warm-up."""
    augment, rules, mix = recipe.augment, recipe.regularisation, recipe.mix
    found: list[tuple[str, bool, Changes]] = [
        ("crop", isinstance(augment.crop, PadCrop | RandomResizedCrop), {"recipe.augment.crop": None}),
        ("flip", augment.flip != "none", {"recipe.augment.flip": "none"}),
        ("policy", augment.policy is not None, {"recipe.augment.policy": None}),
        ("color_jitter", augment.color_jitter is not None, {"recipe.augment.color_jitter": None}),
        ("erasing", augment.erasing is not None, {"recipe.augment.erasing": None}),
        ("mixup", mix.active and mix.mixup_alpha > 0, {"recipe.mix.mixup_alpha": 0.0}),
        ("cutmix", mix.active and mix.cutmix_alpha > 0, {"recipe.mix.cutmix_alpha": 0.0}),
        ("smoothing", rules.label_smoothing > 0, {"recipe.regularisation.label_smoothing": 0.0}),
        ("drop_path", bool(rules.drop_path), {"recipe.regularisation.drop_path": 0.0}),
        ("dropout", bool(rules.dropout), {"recipe.regularisation.dropout": 0.0}),
        ("clipping", rules.clip_norm is not None, {"recipe.regularisation.clip_norm": None}),
        ("weight_decay", recipe.optimizer.weight_decay > 0, {"recipe.optimizer.weight_decay": 0.0}),
        ("averaging", recipe.averaging.name != "none", {"recipe.averaging.name": "none"}),
        ("warmup", bool(length := _warmup_length(recipe)), {f"recipe.schedule.warmup.{length}": 0}),
    ]
    return [Part(name, (("", {}), (f"no-{name}", changes))) for name, used, changes in found if used]


def variants(base: str, parts: Sequence[Part], mode: Mode) -> list[Variant]:
    """The rows of an ablation of `base`, itself first. Raises UserError for a mode that these parts cannot have."""
    full = Variant(base, {})
    if mode == "leave-one-out":
        return [full, *(_turn([position]) for part in parts for position in part.others)]
    design = "add-one-in" if mode == "add-one-in" else "a full factorial"
    for part in parts:
        if len(part.positions) > 2:
            raise UserError(
                f"{design} takes parts of two positions, and {part.name} has {len(part.positions)}\n"
                f"choose two: --switch {part.key}=OWN,OTHER"
            )
    if mode == "add-one-in":
        bare = replace(_turn([part.off for part in parts]), name=BARE)
        added = []
        for part in parts:
            alone = _turn([other.on if other is part else other.off for other in parts])
            added.append(replace(alone, name=f"only-{_slug(part.name)}"))
        return [full, bare, *(added if len(parts) > 1 else ())]
    if len(parts) > MOST_FACTORS:
        keys = [key for part in parts if not part.key for key in part.off[1]]
        raise UserError(
            f"a full factorial takes at most {MOST_FACTORS} parts, and there are {len(parts)}: "
            f"{', '.join(part.name for part in parts)}\n"
            + (
                f"take some of them in place of --recipe-parts: --switch {keys[0]}=OWN,OTHER"
                if keys
                else "name some of them with --part"
            )
        )
    cells = product(*(part.positions for part in parts))
    return [full, *(_turn(cell) for cell in cells if any(name for name, _ in cell))]


def _turn(positions: Sequence[tuple[str, Changes]]) -> Variant:
    names = tuple(name for name, _ in positions if name)
    return Variant("-".join(names), _joined(positions), names)


def _joined(positions: Sequence[tuple[str, Changes]]) -> Changes:
    return {key: value for _, changes in positions for key, value in changes.items()}


def _part(name: str, key: str, positions: Sequence[Any]) -> Part:
    others = tuple((_called(name, value), {key: _plain(value)}) for value in positions[1:])
    return Part(name, (("", {}), *others), key, _plain(positions[0]))


def _called(name: str, value: Any) -> str:
    """A position as part of a row's name: no-outlook, kernel-3, depths-3.4.6.3."""
    if isinstance(value, bool):
        return f"{'with' if value else 'no'}-{_slug(name)}"
    if value is None:
        return f"no-{_slug(name)}"
    shown = ".".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    return f"{_slug(name)}-{_slug(shown)}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+]+", "_", text).strip("_")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _warmup_length(recipe: Recipe) -> str:
    """The key of its warm-up's length; empty where there is none."""
    warmup = getattr(recipe.schedule, "warmup", None)
    return next((unit for unit in ("steps", "epochs", "ratio") if getattr(warmup, unit, None)), "")


@dataclass(frozen=True)
class Ablation:
    """What is taken apart, on which data, by which recipe; `changes` hold for every row."""

    model: str
    data: str
    recipe: str
    parts: tuple[Part, ...]
    mode: Mode = "leave-one-out"
    seeds: int = 3
    changes: Changes = field(default_factory=dict)

    @property
    def base(self) -> str:
        """What the row of the full network is called."""
        return folder_name(self.model)

    def variants(self) -> list[Variant]:
        """All rows but for the controls, the full one first. Raises UserError for a mode the parts cannot have."""
        return variants(self.base, self.parts, self.mode)

    def study(self, controls: Mapping[str, Control] | None = None) -> dict[str, Any]:
        """The keys of the study file. `controls`: by variant, its control, which comes after it."""
        found, controls = self.variants(), controls or {}
        asked = {
            "leave-one-out": f"What does {self.model} lose without each {self._of}?",
            "add-one-in": f"What does each part bring to {self.model} where it has none of the others?",
            "factorial": f"What does each part of {self.model} bring, and do they need each other?",
        }
        keys = {key for part in self.parts for _, changes in part.positions for key in changes}
        values: dict[str, Any] = {
            "title": f"Ablation of {self.model}: {', '.join(part.name for part in self.parts)}",
            "question": asked[self.mode],
            "data": self.data,
            "recipes": self.recipe,
            "seeds": self.seeds,
            "baseline": BARE if self.mode == "add-one-in" else self.base,
            "varies": sorted(keys | {control.key for control in controls.values()}),
        }
        if self.changes:
            values["set"] = dict(self.changes)
        values["rows"] = [row for variant in found for row in self._rows(variant, controls.get(variant.name))]
        if self.mode == "factorial":
            return values | {"factors": _factors(self.parts, found)}
        return values | {"steps": self._steps(found, controls)}

    @property
    def _of(self) -> str:
        """Of what each part is one: of the network, of its recipe, or of keys of a run."""
        if all(part.key.startswith("model.") for part in self.parts):
            return "of its parts"
        return "of these parts" if any(part.key for part in self.parts) else f"part of its recipe, {self.recipe}"

    def _rows(self, variant: Variant, control: Control | None) -> list[dict[str, Any]]:
        row: dict[str, Any] = {"model": self.model, "name": variant.name}
        rows = [row | ({"set": variant.changes} if variant.changes else {})]
        if control is not None:
            changes = variant.changes | {control.key: control.factor}
            rows.append(row | {"name": _matched(variant.name), "set": changes, "note": control.note})
        return rows

    def _steps(self, found: Sequence[Variant], controls: Mapping[str, Control]) -> list[dict[str, str]]:
        """From the full network, or the bare one, to every other row; controls from what is as large."""
        start = found[1].name if self.mode == "add-one-in" else found[0].name
        steps = []
        for variant in found[1:]:
            if variant.name == start:
                continue
            words = variant.name.replace("-", " ")
            steps.append({"name": words, "before": start, "after": variant.name})
            if held := [controls[name] for name in (variant.name, start) if name in controls]:
                before, after = (_matched(name) if name in controls else name for name in (start, variant.name))
                worst = max(held, key=lambda control: abs(control.off))
                steps.append({"name": f"{words}, {worst.in_words}", "before": before, "after": after})
        return steps


def _matched(name: str) -> str:
    return f"{name}-matched"


def _factors(parts: Sequence[Part], found: Sequence[Variant]) -> dict[str, dict[str, list[str]]]:
    """Of each part the rows in each of its positions: what main effects and interactions are computed from. First the
    one in which it is there, which is not its own where a network is without it."""

    def standing(part: Part, position: str) -> list[str]:
        names = {name for name, _ in part.others}
        return [row.name for row in found if (set(row.turned) & names or {""}) == {position}]

    return {part.name: {name or OWN: standing(part, name) for name, _ in (part.on, part.off)} for part in parts}
