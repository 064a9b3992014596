"""A test split for data sets that come without one: a fixed, stratified part of the images."""

from __future__ import annotations

from typing import Final

import numpy as np

from levelfield.data.sources.done_to_data import CUT_TEST
from levelfield.data.sources.readers.contract import Records, Source, SubsetRecords
from levelfield.errors import UserError

UNUSED_VALIDATION: Final = "its own validation images are not used: validation is cut from train"


def with_test(source: Source) -> Source:
    """`source` with a test split: its own, else a stratified, fixed fifth of the images, which its notes then say.

    Raises UserError where that leaves a class without training images.
    """
    if "test" in source.splits:
        return source
    splits = cut_test(source.splits["train"], 0.2)
    counts = np.bincount(splits["train"].labels, minlength=len(source.classes))
    if bare := [name for name, count in zip(source.classes, counts, strict=True) if count == 0]:
        raise UserError(
            f"no test split was given, and cutting one off leaves {len(bare)} of {len(source.classes)} classes "
            f"without training images: {', '.join(bare[:3])}\ngive them more images, or a test split of their own"
        )
    return Source(source.classes, splits, (*source.notes, CUT_TEST))


def cut_test(records: Records, share: float) -> dict[str, Records]:
    """Train and test of records without given splits: a fixed, stratified `share` is the test set."""
    import torch  # where a split is cut, not where a data set is looked for

    from levelfield.data.stratified_sampling import stratified

    rows = torch.arange(len(records))
    count = max(1, round(share * len(records)))
    test = stratified(torch.from_numpy(records.labels), rows, count, seed=0, stream="test").numpy()
    return {"train": SubsetRecords(records, np.setdiff1d(rows.numpy(), test)), "test": SubsetRecords(records, test)}
