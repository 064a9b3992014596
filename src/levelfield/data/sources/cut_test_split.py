"""A test split for data sets that come without one: a fixed, stratified part of the images."""

from __future__ import annotations

from typing import Final

import numpy as np

from levelfield.data.sources.done_to_data import CUT_TEST
from levelfield.data.sources.readers.contract import Records, Source, SubsetRecords

UNUSED_VALIDATION: Final = "its own validation images are not used: validation is cut from train"


def with_test(source: Source) -> Source:
    """`source` with a test split: its own, else a stratified, fixed fifth of the images, which its notes then say."""
    if "test" in source.splits:
        return source
    return Source(source.classes, cut_test(source.splits["train"], 0.2), (*source.notes, CUT_TEST))


def cut_test(records: Records, share: float) -> dict[str, Records]:
    """Train and test of records without given splits: a fixed, stratified `share` is the test set."""
    import torch  # where a split is cut, not where a data set is looked for

    from levelfield.data.stratified_sampling import stratified

    rows = torch.arange(len(records))
    count = max(1, round(share * len(records)))
    test = stratified(torch.from_numpy(records.labels), rows, count, seed=0, stream="test").numpy()
    return {"train": SubsetRecords(records, np.setdiff1d(rows.numpy(), test)), "test": SubsetRecords(records, test)}
