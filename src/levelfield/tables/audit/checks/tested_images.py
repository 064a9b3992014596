"""Whether all runs were tested on the same images with the same labels, each image once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from levelfield.spec import covers
from levelfield.tables.audit.findings import Finding, Panel, differing, odd_ones
from levelfield.tables.lists_in_words import counted


def test_images(panel: Panel) -> Iterable[Finding]:
    """Every run on the same test images with the same labels, each image once."""
    found = [(row, run, tested) for row in panel.measured for run, tested in row.tested if tested is not None]
    if not found:
        return
    for row, run, tested in found:
        if tested.distinct != tested.images:
            again = tested.images - tested.distinct
            text = f"{row.name} seed {run.seed} counts {counted(again, 'test image')} more than once."
            yield Finding("test_images", "unfair", text, (row.name,))
        limit = run.spec.data.test_limit if run.spec is not None else None
        if limit is not None and tested.images > limit:
            text = f"{row.name} seed {run.seed} was tested on {tested.images:,} images, not {limit:,} as it states."
            yield Finding("test_images", "unfair", text, (row.name,))
    numbers: dict[tuple[str, str], int] = {}
    said: dict[str, set[str]] = defaultdict(set)
    for row, _, tested in found:
        number = numbers.setdefault((tested.which, tested.labelled), len(numbers))
        said[row.name].add(f"{tested.images:,} images" + (f" (set {number + 1})" if number else ""))
    if len(numbers) > 1:
        values = {name: " / ".join(sorted(words)) for name, words in said.items()}
        odd = odd_ones(values) or (" / ".join(values[next(iter(values))]), tuple(values))
        text = f"Rows are not tested on the same images with the same labels. {odd[0]}."
        yield Finding("test_images", "unfair", text, odd[1])
    elif len(found) > 1:
        text = f"all {len(found)} runs were tested on the same {found[0][2].images:,} images with the same labels"
        yield Finding("test_images", "passed", text)


def tested_on(every: Panel) -> Iterable[Finding]:
    """Rows on other test sets, which the table does not compare with each other."""
    data = {name: spec.data for name, spec in every.specs.items()}
    sets = {name: of.name + (f", {of.test_limit:,} test images" if of.test_limit else "") for name, of in data.items()}
    if len(set(sets.values())) > len({of.name for of in data.values()}):
        text = "Rows are tested on different images of the same data, so they are not compared with each other"
        yield from differing("test_images", "unfair", text, sets)
    elif covers(every.varies, "data.name"):
        text = "Varied on purpose: the data. Rows are compared only within one set"
        yield from differing("test_images", "declared", text, sets)
    else:
        text = "Rows are tested on different data; they are compared only within one set"
        yield from differing("test_images", "differs", text, sets)
