"""Exact copies among the images of a data set: inside a split, between train and test, under several labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from levelfield.data.sources.readers.contract import Found
from levelfield.data.store.store import Store
from levelfield.errors import UserError

Copies = tuple[tuple[str, str], ...]
"""The images that are one image: (split, name) of each."""


@dataclass(frozen=True)
class Duplicates:
    """Exact copies, pixel by pixel at their own size, whatever their encoding.

    `surplus`: copies inside each split beyond the first. `across`: distinct images that are in both train and test;
    `test_in_train`: test images, copies counted, that are in train. `conflicting`: distinct images that occur under
    more than one label.
    """

    surplus: dict[str, int]
    across: int
    test_in_train: int
    conflicting: int


def find_duplicates(store: Store) -> Duplicates:
    """Count exact duplicates by the digests of the decoded pixels."""
    labels_of: dict[bytes, set[int]] = {}
    seen: dict[str, Counter[bytes]] = {}
    for split in store.index.splits:
        samples = store.samples(split)
        digests = [row.tobytes() for row in samples.digests]
        seen[split] = Counter(digests)
        for digest, label in zip(digests, samples.labels.tolist(), strict=True):
            labels_of.setdefault(digest, set()).add(label)
    return Duplicates(
        surplus={split: sum(counts.values()) - len(counts) for split, counts in seen.items()},
        across=len(seen["train"].keys() & seen["test"].keys()),
        test_in_train=sum(count for digest, count in seen["test"].items() if digest in seen["train"]),
        conflicting=sum(len(labels) > 1 for labels in labels_of.values()),
    )


def name_copies(store: Store, found: Found) -> tuple[Copies, ...]:
    """The images that occur more than once, each with its name; its place, `#12`, where the files are gone."""
    places: dict[bytes, list[tuple[str, int]]] = {}
    for split in store.index.splits:
        samples = store.samples(split)
        for digest, row in zip(samples.digests, samples.rows.tolist(), strict=True):
            places.setdefault(digest.tobytes(), []).append((split, row))
    groups = [group for group in places.values() if len(group) > 1]
    if not groups:
        return ()
    try:
        records = found.load().splits
    except UserError:  # imported, and moved since
        return tuple(tuple((split, f"#{row}") for split, row in group) for group in groups)
    return tuple(tuple((split, records[split].name(row)) for split, row in group) for group in groups)
