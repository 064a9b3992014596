"""Weights that a run takes from elsewhere, to start from or as its teacher's: a place, and what lies there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from levelfield.spec.run import RunSpec

ROW: Final = "row:"
"""Begins a place that is another row's run of the same seed, until that run's folder is known."""
START: Final = "model.start_from.source"
TEACHER: Final = "recipe.distil.teacher"
KNOWN_BY: Final = {
    START: ("model.start_from.digest",),
    TEACHER: ("recipe.distil.teacher_digest", "recipe.distil.teacher_identity"),
}
"""By the key of a place, the keys that say what lies there, filled in when a run is resolved: the digest first."""


@dataclass(frozen=True)
class Taken:
    """Weights at `place`, as the run names it; `digest`: SHA-256 of their content, None until the run is resolved."""

    place: str
    digest: str | None

    @property
    def of_row(self) -> bool:
        """Whether they are of a row whose run is not known yet."""
        return self.place.startswith(ROW)


def weights_taken(spec: RunSpec) -> dict[str, Taken]:
    """What `spec` takes, by the key of its place."""
    start, distil = spec.model.start_from, spec.recipe.distil
    taken = {START: Taken(start.source, start.digest)} if start is not None else {}
    return taken | ({TEACHER: Taken(distil.teacher, distil.teacher_digest)} if distil is not None else {})


def rows_taken_from(spec: RunSpec) -> dict[str, str]:
    """By the key of a place, the row of whose runs `spec` takes, seed by seed, the one of its own seed."""
    places = {key: Path(one.place) for key, one in weights_taken(spec).items()}
    return {key: place.parent.name for key, place in places.items() if re.match(rf"seed{spec.seed}(-|$)", place.name)}


def with_rows_named(spec: RunSpec) -> RunSpec:
    """`spec` with the row in place of its run where it takes the one of its own seed: the same at every seed."""
    rows = rows_taken_from(spec).items()
    return spec.changed({path: ROW + row for key, row in rows for path in (key, *KNOWN_BY[key])})
