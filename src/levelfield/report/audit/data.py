"""Did every row see the same data, cut the same way, and nothing of the test set?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from levelfield.report.audit.values import AuditRow, Finding, differing
from levelfield.spec import RunSpec

IMAGENET_SETS = ("cub200", "stanford_dogs")
"""Sets whose test images partly stand in ImageNet's training set."""


def same_data(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """Content, training images, and the size at which they reach the network."""

    def content(spec: RunSpec) -> str | None:
        return f"checksum {spec.data.checksum[:10]}" if spec.data.checksum else None

    def images(spec: RunSpec) -> str:
        return f"{spec.data.train_limit:,} training images" if spec.data.train_limit else "all training images"

    yield from differing("data", rows, content, "The content of the data")
    yield from differing("data", rows, images, "The number of training images")
    yield from differing(
        "data", rows, lambda s: s.data.image_size, "The size of the input", say=lambda side: f"{side} px"
    )
    unofficial = tuple(row.name for row in rows if row.fact("data_official") is False)
    if unofficial:
        text = "The data is not the official set of that name: scores do not compare with published ones."
        yield Finding("data", "note", text, unofficial)
    yield from differing("data", rows, lambda s: s.data.fit, "How images are fitted to that size", "note")


def validation_split(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    def split(spec: RunSpec) -> str:
        share = spec.recipe.validation if spec.data.validation is None else spec.data.validation
        return f"{share:.0%} held out (split {spec.data.split_seed})" if share else "nothing held out"

    yield from differing("validation_split", rows, split, "The validation split")


def selected_on_test(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """An epoch or setting chosen by its test score: the score is then too good, by how much nobody knows."""
    chosen = []
    for row in rows:
        share = None
        if row.spec is not None:
            share = row.spec.recipe.validation if row.spec.data.validation is None else row.spec.data.validation
        without = row.spec is not None and row.spec.recipe.selection == "best_validation" and not share
        if row.fact("selected_on") == "test" or without:
            chosen.append(row.name)
    if chosen:
        text = "The result was selected on the test set, so its score is too good."
        yield Finding("selected_on_test", "unfair", text, tuple(chosen))


def validation_transform(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    wrong = tuple(row.name for row in rows if row.fact("validation_transform") == "training")
    if wrong:
        text = "The validation images went through the training augmentation: what was selected on them is unsound."
        yield Finding("validation_transform", "unfair", text, wrong)


def leaks(rows: Sequence[AuditRow]) -> Iterable[Finding]:
    """Test images among the training images, of this training or of that before it."""
    for row in rows:
        if duplicates := row.fact("train_test_duplicates"):
            text = f"{duplicates:,} test images also stand in the training set."
            yield Finding("leaks", "unfair", text, (row.name,))
    known = [
        row.name
        for row in rows
        if row.spec is not None and row.spec.model.start_from is not None and row.spec.data.name in IMAGENET_SETS
    ]
    if known:
        text = "The test set overlaps ImageNet, on whose images the weights that these rows start from were trained."
        yield Finding("leaks", "unfair" if len(known) < len(rows) else "note", text, tuple(known))


def noted(rows: Sequence[AuditRow], notes: Mapping[str, Sequence[str]]) -> Iterable[Finding]:
    """What is known of the data sets, from whoever reads them."""
    for name in dict.fromkeys(row.spec.data.name for row in rows if row.spec is not None):
        for note in notes.get(name, ()):
            yield Finding("leaks", "note", f"{name}: {note}")
