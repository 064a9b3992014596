"""Every key of every run's resolved setting, minus what the study declares that it varies.

Nothing is listed here that is to be compared: what is not compared is listed, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from levelfield.spec import RunSpec, Value, covers
from levelfield.tables.audit.compare_values import contrast
from levelfield.tables.audit.findings import Finding, Panel, differing_keys, odd_ones
from levelfield.tables.lists_in_words import counted, listed

NOT_COMPARED: Final[Mapping[str, str]] = {
    "seed": "runs of a row differ in it on purpose",
    "recipe.name": "a name is not science; what it stands for is compared",
    "recipe.description": "prose",
    "recipe.validation": "a default of data.validation, which is compared",
    "model.start_from.source": "a place; the digest says which weights, and `origin` what they were trained on",
    "model.start_from.channels": "the digest is of these weights, their shapes among what it tells",
    "recipe.distil.teacher": "a place; identity and digest say which run",
    "plugins.path": "a place; the digest says which source",
    "execution.data_dir": "a place; the checksum says which data",
}
ELSEWHERE: Final = ("model.start_from", "recipe.distil.teacher_identity", "recipe.distil.teacher_digest")
"""Compared by `starting_weights` and `teachers`, seed by seed."""
SECTIONS: Final[Mapping[str, str]] = {
    "model.image_size": "The data",
    "model.num_classes": "The data",
    "model": "The network",
    "data": "The data",
    "budget": "The declared length of training",
    "plugins": "The plugin",
    "recipe.optimizer": "The optimiser",
    "recipe.schedule": "The schedule of the learning rate",
    "recipe.phases": "The hand-over to another optimiser",
    "recipe.batch_size": "The batch size",
    "recipe.augment": "The augmentation",
    "recipe.mix": "The mixing of images",
    "recipe.regularisation": "The regularisation",
    "recipe.prune": "The pruning",
    "recipe.prune_channels": "The pruning of channels",
    "recipe.quantize_aware": "The rounding to int8 in training",
    "recipe.distil": "The teacher, and how it is followed",
    "recipe.freeze": "What is frozen",
    "recipe.precision": "The precision",
    "recipe.averaging": "The average of the weights",
    "recipe.selection": "Which epoch is the result",
    "execution": "How the runs were carried out",
}
"""How a key's part of the setting is called; a key of no part here goes by its own name."""
SIZE_OF_IMAGES: Final = "data.image_size"
SIZE_OF_NETWORK: Final = "model.image_size"
"""A network is built for the size of its images: where it has that, who declares the one has declared the other."""
SHOWN: Final = 5
"""Settings with their values in one finding; more are named."""


def foreign(panel: Panel) -> Iterable[Finding]:
    """Rows that are somebody else's predictions: how those came about cannot be looked at."""
    for row in panel.measured:
        if row.foreign:
            some = f"of {len(row.foreign)} runs of {row.name}" if row.own else f"of {row.name}"
            text = f"The setting, start, training data, length, environment and seeds {some}: it was not trained here."
            yield Finding("foreign", "unchecked", text, (row.name,))


def settings(panel: Panel) -> Iterable[Finding]:
    """Each part of the setting in which rows differ: unfair, unless it is declared or only how runs are carried out."""
    specs = panel.specs
    if len(specs) < 2:
        return
    found = {key: values for key, values in contrast(specs).items() if compared(key)}
    declared = [key for key in found if covers(panel.varies, key)]
    follows = all(spec.model.image_size == spec.data.image_size for spec in specs.values())
    if follows and SIZE_OF_IMAGES in declared and SIZE_OF_NETWORK in found:
        declared.append(SIZE_OF_NETWORK)
    if declared:
        named = [one for one in panel.varies if any(covers((one,), key) for key in declared)]
        why = "Varied on purpose, as the study's question declares"
        text = f"{why if panel.declares else 'Varied by default, as the study declares nothing'}: {listed(named, 12)}."
        yield Finding("settings", "declared", text, tuple(specs))
    left = {key: values for key, values in found.items() if key not in declared}
    counting = contrast({name: _counting(spec) for name, spec in specs.items()})
    science = {key: values for key, values in left.items() if is_science(key) or key.rpartition(".")[2] in counting}
    how = {key: values for key, values in left.items() if key not in science}
    yield from differing_keys("settings", "unfair", science, section, SHOWN)
    yield from differing_keys("execution", "differs", how, section, SHOWN)
    if not science:
        keys = counted(sum(1 for key in leaves(next(iter(specs.values()))) if compared(key)), "setting")
        but = " but what the study varies" if declared else ""
        yield Finding("settings", "passed", f"all {keys} of the runs are the same in {panel.every}{but}", tuple(specs))


def one_setting(panel: Panel) -> Iterable[Finding]:
    """The runs of one row must differ in nothing but the seed."""
    several = [row for row in panel.measured if len(row.own) > 1]
    fair = True
    for row in several:
        specs = {f"seed {run.seed}": run.spec for run in row.own}
        found = {key: values for key, values in contrast(specs).items() if compared(key)}
        science = [key for key in found if is_science(key)]
        if keys := science or list(found):
            fair = False
            said = "; ".join(f"{key}: {(odd_ones(found[key]) or ('',))[0]}" for key in keys[:SHOWN])
            text = f"The runs of {row.name} differ in more than the seed: they are not one row. {said}"
            yield Finding("one_setting", "unfair" if science else "differs", text, (row.name,))
    if several and fair:
        here = " that was trained here" if any(row.foreign for row in panel.measured) else ""
        yield Finding("one_setting", "passed", f"the runs of a row{here} differ in nothing but the seed")


def compared(key: str) -> bool:
    """Whether rows are held against each other in `key` here."""
    plain = ".".join(part for part in key.split(".") if not part.isdigit())
    return plain not in NOT_COMPARED and not covers(ELSEWHERE, key)


def is_science(key: str) -> bool:
    """Whether `key` may change the numbers (a batch in parts counts: BatchNorm sees the parts)."""
    return not key.startswith("execution.") or key == "execution.micro_batch"


def leaves(value: Any, key: str = "") -> list[str]:
    """All keys at or below a value that hold no further values of ours."""
    if not isinstance(value, Value):
        return [key]
    inside = ((f"{key}.{name}".lstrip("."), getattr(value, name)) for name in type(value).model_fields)
    return [leaf for below, part in inside for leaf in leaves(part, below)]


def section(key: str) -> tuple[str, str]:
    """The title of the part that a key belongs to, and the rest of the key."""
    for part, title in SECTIONS.items():
        if covers((part,), key):
            return title, key.removeprefix(part).lstrip(".") or key.rpartition(".")[2]
    return key, key.rpartition(".")[2]


def _counting(spec: RunSpec) -> dict[str, Any]:
    """What of a run's execution counts as science, because of the rest of its setting."""
    return {key: value for key, value in spec.science().items() if key in type(spec.execution).model_fields}


def same(panel: Panel, *keys: str) -> bool:
    """Whether all measured rows agree in `keys` and everything below them."""
    return not any(covers(keys, key) for key in contrast(panel.specs))
