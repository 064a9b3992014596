"""A first study of somebody's data and networks: what suits them, as the text of a commented study file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import yaml

from levelfield.data.checks.quick_look import QuickLook
from levelfield.known_models import built_in
from levelfield.runs import folder_name

SIDES: Final = (16, 32, 64, 128, 224)
"""Sides in px that the built-in networks' strides divide well."""
CPU_SIDE: Final = 64
"""The largest side that is suggested where there is no GPU: larger ones take hours."""
BASELINES: Final = (
    "resnet_nano", "vit_mini", "convnext_nano_p2", "outgrid_nano", "resnet_mini", "rexnet_tiny", "outgrid_7m",
    "resnet18_s1", "efficientnetv2_s_s1", "resnet50_s1",
)  # fmt: skip
"""Built-in networks of well-known make from 0.3 to 24 M parameters, among which a network finds company of its size."""
FIRST: Final = ("resnet_nano", "vit_mini", "convnext_nano_p2")
"""What is compared where nobody names a network: three families of 0.3 to 0.4 M parameters."""
SCHEMA: Final = "study.schema.json"
"""The file with the schema of studies, beside the study: a path of one machine would not be found on another."""
IMAGES_SEEN: Final = 100_000
"""About how many images each run of a first study sees: minutes on two cores for networks of a million parameters."""


@dataclass(frozen=True)
class FirstStudy:
    """What the file says. `name`: what people call the data. `models`: the user's networks and then the baselines, of
    which `baseline` is one."""

    name: str
    look: QuickLook
    image_size: int
    recipe: str
    batch_size: int | None
    epochs: int
    seeds: int
    models: tuple[str, ...]
    baseline: str
    own: tuple[str, ...]


def suggest_side(look: QuickLook, gpu: bool) -> int:
    """The side to train at in px: the images' own where it is small, else the next of `SIDES` below theirs."""
    if look.side_px <= SIDES[0]:
        return SIDES[0]
    fitting = max(side for side in SIDES if side <= max(look.side_px, SIDES[0]))
    return fitting if gpu else min(fitting, CPU_SIDE)


def suggest_baselines(own: Mapping[str, int | None], count: int = 2) -> list[str]:
    """Built-in networks beside the user's `own` (name -> parameters, None: unknown): nearest in size, a family each."""
    sizes = [params for params in own.values() if params]
    if not sizes:
        return [name for name in FIRST if name not in own]
    middle = sum(map(math.log, sizes)) / len(sizes)
    nearest = sorted(BASELINES, key=lambda name: abs(math.log(built_in()[name].params) - middle))
    families = {built_in()[name].info.family for name in own if name in built_in()}
    chosen: list[str] = []
    for name in nearest:
        family = built_in()[name].info.family
        if name not in own and family not in families and len(chosen) < count:
            chosen.append(name)
            families.add(family)
    return chosen


def suggest_recipe(look: QuickLook) -> str:
    """A shipped recipe: handwritten digits are no photographs, and a mirrored one is none."""
    return "digits-fast" if look.name == "digits" else "cpu-fast"


def suggest_length(look: QuickLook) -> tuple[int, int | None]:
    """(epochs, batch of the run or None for the recipe's own), so that few images still make steps enough to learn."""
    if look.name == "digits":  # for which its recipe was made
        return 10, None
    epochs = min(30, max(2, round(IMAGES_SEEN / look.train)))
    return epochs, None if look.train >= 10_000 else 64 if look.train >= 1000 else min(32, look.train)


def study_text(study: FirstStudy) -> str:
    """The study's file, every key with what it does. Its JSON Schema is to lie beside it as `SCHEMA`."""
    look = study.look
    per_class = f"{look.fewest:,}" if look.fewest == look.most else f"{look.fewest:,} to {look.most:,}"
    px = f"{look.side_px} px" if look.smallest_px == look.largest_px else f"{look.smallest_px} to {look.largest_px} px"
    changes = [f"  recipe.batch_size: {study.batch_size}  # images; the recipe's own is for more"]
    own = set(study.own)
    skip, why = (
        (", on_bad_image: skip", "  # some do not open; fail: they stop the reading") if look.unreadable else ("", "")
    )
    models = [f"  - {_quoted(name)}{'' if name in own else '  # to compare with'}" for name in study.models]
    return "\n".join([
        f"# yaml-language-server: $schema={SCHEMA}",
        f"# {look.train:,} training and {look.test:,} test images of {look.classes:,} classes ({look.form}); "
        f"{per_class} a class;",
        f"# shorter side {px}. Everything that may stand here: levelfield schema study, docs/how-to/studies.md",
        f"title: {_quoted(f'Networks on {study.name}')}",
        f"question: {_quoted(f'Which network is best on {study.name}, trained alike?')}",
        "",
        "# The side to which images are resized; larger ones show more and cost its square.",
        f"data: {{name: {_quoted(look.name)}, image_size: {study.image_size}{skip}}}{why}",
        "",
        "# How all are trained: a shipped recipe, NAME+VARIANT, or a .yaml file beside this one.",
        f"recipes: {_quoted(study.recipe)}",
        f"budget: {{epochs: {study.epochs}}}  # a first look; more tells networks apart that learn slowly",
        *(["set:", *changes] if study.batch_size else []),
        "",
        "# Runs of each network. Three say little of small differences; more can be added later: --seeds 5",
        f"seeds: {study.seeds}",
        "",
        "# The networks (levelfield models; timm:NAME for timm's); the audit sees that rows differ in nothing else.",
        "models:",
        *models,
        f"baseline: {_quoted(_row(study.baseline))}  # the row that others are compared with",
        "varies: [model.name]",
        "",
        "scales:",
        "  smoke:  # levelfield study run FILE --scale smoke: two steps of every row, to see that each can be trained",
        "    seeds: 1",
        f"    set: {{{_smoke(look)}, recipe.batch_size: 8, budget: {{steps: 2}}}}",
        "",
    ])  # fmt: skip


def _smoke(look: QuickLook) -> str:
    """Limits of images that leave every class one: stratified subsets cannot be smaller."""
    train, test = (max(50, 2 * look.classes), max(50, 2 * look.classes))
    return f"data.train_limit: {min(train, look.train)}, data.test_limit: {min(test, look.test)}"


def _row(model: str) -> str:
    """The name of a model's row."""
    return folder_name(model)


def _quoted(text: str) -> str:
    """A YAML scalar that is this text, whatever it holds."""
    plain = text and all(letter.isalnum() or letter in "_-./" for letter in text) and text[0] not in "-."
    if not text.isprintable():
        return str(yaml.safe_dump(text, default_style='"', width=100_000, allow_unicode=True)).strip()
    return text if plain and not text.replace(".", "").isdigit() else "'" + text.replace("'", "''") + "'"
