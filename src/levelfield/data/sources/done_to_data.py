"""What levelfield itself did to a data set, in the words that stand beside every result on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

CUT_TEST: Final = "no test split was given: a fixed, stratified fifth of the images is the test set"
_LEFT_OUT: Final = ("image that does not decode is left out", "images that do not decode are left out")


def left_out(count: int) -> str:
    """How many images were skipped as they do not decode."""
    return f"{count:,} {_LEFT_OUT[count != 1]}"


def done_to_data(notes: Iterable[str]) -> list[str]:
    """Those of a data set's or run's `notes` that say what was done here, not what is known of it elsewhere."""
    return [note for note in notes if note == CUT_TEST or note.endswith(_LEFT_OUT)]
