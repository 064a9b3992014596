"""Where rows start from trained weights: which, what those were trained on, and how.

Networks that differ cannot start from equal weights, so weights are compared among rows of one network, and what they
were trained on among all: a run's own folder says it, timm's tags (`fb_in22k_ft_in1k`) say part of it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from levelfield.runs import RunFolder
from levelfield.spec import RunSpec, StartFrom, covers
from levelfield.spec.hub_source import HUB
from levelfield.spec.varied_keys import PRETRAINING
from levelfield.tables.audit.checks.settings import SHOWN, compared, is_science, section
from levelfield.tables.audit.compare_values import contrast, words
from levelfield.tables.audit.findings import AuditRow, Finding, Panel, Severity, differing, differing_keys
from levelfield.tables.lists_in_words import listed

KEY: Final = "model.start_from"
SCRATCH: Final = "from scratch"
TAGGED: Final = re.compile(r"in(\d+)k")
IMAGENET: Final = ("imagenet", "imagenet1k", "tiny_imagenet", "tiny-imagenet")
OVERLAPPING: Final = ("cub", "stanford_dogs", "stanford-dogs")
"""Sets, by the beginning of their names, whose test images partly stand in ImageNet."""
SAID: Final = ("data.name", "data.checksum", "data.train_limit")
"""Of the first training, what `trained_on` says."""


def starts(panel: Panel) -> Iterable[Finding]:
    """Trained weights against none, and other weights for the same network."""
    declared = covers(panel.varies, KEY)
    severity: Severity = "declared" if declared else "unfair"
    kinds = {row.name: SCRATCH if _start(row) is None else f"from {_source(row)}" for row in panel.measured if row.own}
    plain = {SCRATCH if kind == SCRATCH else "from trained weights" for kind in kinds.values()}
    if len(plain) > 1:
        what = "Varied on purpose: what rows start from" if declared else "What rows start from"
        yield from differing("starts", severity, f"{what} differs", kinds)
    networks: dict[str, list[AuditRow]] = defaultdict(list)
    for row in panel.measured:
        if row.spec is not None and _start(row) is not None:
            networks[f"{row.spec.model.name} {words(row.spec.model.options)}"].append(row)
    other = [values for same in networks.values() if (values := _other_weights(same))]
    for values in other:
        what = "Varied on purpose: the weights" if declared else "The weights"
        yield from differing("starts", severity, f"{what} that the same network starts from differs", values)
    if len(kinds) > 1 and len(plain) == 1 and not other:
        (said,) = plain
        alike = "" if said == SCRATCH else "; rows of one network from the same ones"
        yield Finding("starts", "passed", f"{panel.every} starts {said}{alike}")
    for row in panel.measured:
        weights = [start.digest for run in row.own if (start := run.spec.model.start_from) is not None]
        if 0 < len(weights) < len(row.own):
            text = f"Some runs of {row.name} start from trained weights, some not."
            yield Finding("starts", "unfair", text, (row.name,))
        if 1 < len(set(weights)) < len(weights):
            text = f"The runs of {row.name} start neither from one set of weights nor each from its own."
            yield Finding("starts", "unfair", text, (row.name,))


def _other_weights(rows: Sequence[AuditRow]) -> dict[str, str]:
    """What rows of one network start from, at the first seed at which that is not the same for all; else empty."""
    for seed in sorted({run.seed for row in rows for run in row.own}):
        given = {row.name: run.spec.model.start_from for row in rows for run in row.own if run.seed == seed}
        if f"{KEY}.digest" in contrast(given, KEY):
            return {
                row.name: f"{_source(row)}, digest {words(start.digest or '')}"
                for row in rows
                if (start := given.get(row.name)) is not None
            }
    return {}


def pretraining(panel: Panel) -> Iterable[Finding]:
    """What the starting weights were trained on, and, where their runs are at hand, every key of their settings."""
    rows = [row for row in panel.measured if _start(row) is not None]
    if not rows:
        return
    origins = {row.name: origin(row, panel.folder) for row in rows}
    data = {row.name: trained_on(row, origins[row.name]) for row in rows}
    known = {name: said for name, said in data.items() if said is not None}
    severity: Severity = "declared" if covers(panel.varies, f"{PRETRAINING}.data") else "unfair"
    yield from differing("pretraining", severity, "What the starting weights were trained on differs", known)
    if unknown := [name for name, said in data.items() if said is None]:
        text = f"What the weights of {listed(unknown)} were trained on: their source does not say."
        yield Finding("pretraining", "unchecked", text, tuple(unknown))
    specs = {name: spec for name, spec in origins.items() if spec is not None}
    left = {
        key: values
        for key, values in contrast(specs).items()
        if compared(key) and is_science(key) and key not in SAID and not covers(panel.varies, key)
        and not covers(panel.varies, f"{PRETRAINING}.{key}")
    }  # fmt: skip
    yield from differing_keys("pretraining", "unfair", left, _part, SHOWN)
    if len(specs) > 1 and not left:
        yield Finding("pretraining", "passed", "the weights that rows start from were trained alike", tuple(specs))
    if blind := [name for name, spec in origins.items() if spec is None and name in known]:
        text = f"How the weights of {listed(blind)} were trained, beyond their data: published weights do not say."
        yield Finding("pretraining", "unchecked", text, tuple(blind))


def _part(key: str) -> tuple[str, str]:
    title, rest = section(key)
    return f"In the training of the weights that rows start from, {title[0].lower()}{title[1:]}", rest


def overlap(panel: Panel) -> Iterable[Finding]:
    """Weights trained on ImageNet, tested on images that partly stand in it."""
    known = []
    for row in panel.measured:
        if row.spec is not None and _start(row) is not None and row.spec.data.name.lower().startswith(OVERLAPPING):
            before = trained_on(row, origin(row, panel.folder))
            known += [row.name] if before is None or "ImageNet" in before else []
    if known:
        only = len(known) < len(panel.measured) and not covers(panel.varies, KEY)
        text = "The test set overlaps ImageNet, on whose images the weights that these rows start from were trained"
        yield Finding("overlap", "unfair" if only else "differs", f"{text}: {listed(known)}.", tuple(known))


def origin(row: AuditRow, folder: Path | None) -> RunSpec | None:
    """The setting of the run whose weights the row's first run starts from; None where that run is not at hand: one
    with other weights may lie in its place."""
    start = _start(row)
    if start is None:
        return None
    path = Path(start.source).expanduser()
    places = [path] + ([folder / Path(*path.parts[-2:])] if folder is not None else [])
    runs = (run for place in places if (run := RunFolder(place)).exists())
    return next((run.spec() for run in runs if run.weights_digest() in (start.digest, None)), None)


def trained_on(row: AuditRow, before: RunSpec | None) -> str | None:
    """The data that a row's starting weights were trained on, in words; None where nothing says it."""
    if before is not None:
        name = before.data.name
        said = "ImageNet-1k" if name == "imagenet1k" else f"{name} (of ImageNet)" if name.startswith(IMAGENET) else name
        return said + (f", {before.data.train_limit:,} images" if before.data.train_limit else "")
    start = _start(row)
    tags = TAGGED.findall(start.source.partition(":")[2].partition(".")[2]) if start is not None else []
    return ", then ".join(f"ImageNet-{thousands}k" for thousands in tags) or None


def _start(row: AuditRow) -> StartFrom | None:
    return None if row.spec is None else row.spec.model.start_from


def _source(row: AuditRow) -> str:
    """What a row starts from, without the folders of the machine that trained it."""
    start = _start(row)
    if start is None:
        return SCRATCH
    path = Path(start.source)
    if start.source.startswith(("timm:", HUB)):
        return start.source
    home = path.parent.name if path.name.startswith("seed") else ""
    return f"weights of {home}" if home else path.name
