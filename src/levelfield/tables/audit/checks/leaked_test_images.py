"""Test images among the training images: looked up in the data itself, where it is at hand, and kept by checksum.

A study's folder keeps what was found in duplicates.json, so that its report says it where the data is not:

    {CHECKSUM: {"data": name, "test_images": 10000, "test_in_train": 0}}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Final

from levelfield.errors import UserError
from levelfield.runs import write_json
from levelfield.spec import DataSpec, RunSpec
from levelfield.tables.audit.findings import Finding, Panel

RECORD: Final = "duplicates.json"
FEW: Final = 0.002
"""Share of the test images below which copies in train are only mentioned: official CIFAR-100 has 0.1 %."""


@dataclass(frozen=True)
class Duplicated:
    """Of the `test_images` of a data set, how many are pixel by pixel among its training images."""

    data: str
    test_images: int
    test_in_train: int


def leaks(panel: Panel) -> Iterable[Finding]:
    """Test images that stand in the training set, of each data set that the rows were trained on."""
    recorded = read_record(panel.folder)
    for checksum, spec in data_of(run.spec for _, run in panel.own).items():
        found = recorded.get(checksum) or look_up(spec, panel.data_dir)
        rows = tuple(row for row, own in panel.specs.items() if own.data.checksum == checksum)
        name = spec.data.name
        if found is None:
            text = f"Whether test images of {name} stand in its training set: the data of these runs is not at hand"
            yield Finding("leaks", "unchecked", f"{text} (`levelfield data check {name}` reads it).", rows)
        elif found.test_in_train:
            stand, them = ("stands", "it") if found.test_in_train == 1 else ("stand", "them")
            text = f"{found.test_in_train:,} of the {found.test_images:,} test images of {name} also {stand} in its "
            share = 100 * found.test_in_train / found.test_images
            text += f"training set, which may lift scores by up to {share:.1f} points "
            text += f"(`levelfield data check {name}` names {them})."
            few = found.test_in_train < FEW * found.test_images
            yield Finding("leaks", "differs" if few else "unfair", text, rows)
        else:
            text = f"none of the {found.test_images:,} test images of {name} stands in its training set"
            yield Finding("leaks", "passed", text, rows)


def data_of(specs: Iterable[RunSpec]) -> dict[str, RunSpec]:
    """The first run on each content, by its checksum."""
    found: dict[str, RunSpec] = {}
    for spec in specs:
        if spec.data.checksum is not None:
            found.setdefault(spec.data.checksum, spec)
    return found


def look_up(spec: RunSpec, data_dir: str | None = None) -> Duplicated | None:
    """Count in a run's data, if it is at hand: in `data_dir`, else where the run had it or the environment says."""
    return _counted(spec.data, data_dir or spec.execution.data_dir)


@cache
def _counted(data: DataSpec, data_dir: str | None) -> Duplicated | None:
    from levelfield.data.checks.data_at_hand import at_hand
    from levelfield.data.checks.duplicates import find_duplicates

    assert data.checksum is not None
    store = at_hand(data.name, data.checksum, data_dir, data.on_bad_image)
    if store is None:
        return None
    return Duplicated(data.name, store.index.splits["test"].count, find_duplicates(store).test_in_train)


def read_record(folder: Path | None) -> Mapping[str, Duplicated]:
    """What `folder` keeps, by checksum. Raises UserError for a damaged file."""
    path = folder / RECORD if folder is not None else None
    if path is None or not path.is_file():
        return {}
    try:
        return {
            checksum: Duplicated(**found) for checksum, found in json.loads(path.read_text(encoding="utf-8")).items()
        }
    except (json.JSONDecodeError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error}\nremove it: it is written again where the data is") from None


def keep_record(folder: Path, specs: Iterable[RunSpec], data_dir: str | None = None) -> None:
    """Look up what `folder` does not keep yet of the data of `specs`, and keep it there."""
    kept = dict(read_record(folder))
    found = {
        checksum: duplicated
        for checksum, spec in data_of(specs).items()
        if checksum not in kept and (duplicated := look_up(spec, data_dir)) is not None
    }
    if found:
        write_json(folder / RECORD, {checksum: asdict(each) for checksum, each in (kept | found).items()})
