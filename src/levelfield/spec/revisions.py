"""What was mended since SCIENCE_VERSION was last raised, and which runs that makes other runs.

A mend that moves the numbers of some runs only (those that use one feature) is listed here under a name, with the test
of whether a run is among them. The names are part of those runs' identities, so that their old results are not taken
for new ones, while all other runs keep theirs. A mend that moves every run's numbers raises SCIENCE_VERSION instead,
and empties this table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from levelfield.spec.run import RunSpec

REVISIONS: Final[dict[str, Callable[[RunSpec], bool]]] = {}
"""Name of the mend -> whether it moves the numbers of a run. Never renamed, never removed before the next version."""


def revisions(spec: RunSpec) -> list[str]:
    """Names of the mends that bear on `spec`, sorted."""
    return sorted(name for name, bears_on in REVISIONS.items() if bears_on(spec))
