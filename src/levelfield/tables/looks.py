"""The looks that were made at a study's growing table, kept beside it in looks.json, and said in words.

```
{"margin": 0.5, "most": 10 or null, "settings": {row: digest of what it trains},
 "looks": [{"seeds": {row: [seeds that were looked at]}, "share": of the 5 %, "planned": true,
            "decided": [[row, beside row, verdict], ...]}]}
```
`most`: seeds a row up to which the looks were planned. A table with looks decides by them (`statistics.looks`); what
was decided stays so while the rows are what they were: of one whose setting was edited since, no look knows anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.runs import write_json
from levelfield.spec import RunSpec
from levelfield.statistics import ALPHA, VERDICTS
from levelfield.statistics.looks import Look
from levelfield.tables.lists_in_words import listed

LOOKS: Final = "looks.json"


@dataclass(frozen=True)
class Looks:
    """The `looks` made so far, at one `margin` of equivalence. `settings`: of each row, a digest of what it trains.
    `most`: seeds a row up to which they are planned, None without a plan."""

    looks: tuple[Look, ...]
    margin: float
    settings: Mapping[str, str]
    most: int | None = None

    @property
    def spent(self) -> float:
        """The chance of a false claim that they have taken together."""
        return ALPHA * sum(look.share for look in self.looks)

    def of(self, settings: Mapping[str, str]) -> Looks | None:
        """What was looked at of rows of these `settings`; None where all are others."""
        kept = {row for row, digest in settings.items() if self.settings.get(row) == digest}
        looks = tuple(
            replace(
                look,
                seeds={row: seeds for row, seeds in look.seeds.items() if row in kept},
                decided=None
                if look.decided is None
                else {pair: said for pair, said in look.decided.items() if kept.issuperset(pair)},
            )
            for look in self.looks
        )
        return replace(self, looks=looks, settings={row: settings[row] for row in kept}) if kept else None

    def with_look(self, look: Look) -> Looks:
        return replace(self, looks=(*self.looks, look))


def read_looks(folder: Path) -> Looks | None:
    """The looks at the study in `folder`; None where no more than one was made. Raises UserError for a damaged file."""
    path = folder / LOOKS
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        looks = tuple(_look(one) for one in kept["looks"])
        return Looks(looks, float(kept["margin"]), dict(kept["settings"]), kept["most"])
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read: {error!r}\nput back a copy: without it nobody knows what was decided when"
        ) from None


def _look(kept: dict[str, Any]) -> Look:
    for _, _, verdict in kept["decided"]:
        if verdict not in VERDICTS:
            raise ValueError(f"no verdict: {verdict!r}")
    return Look(
        seeds={row: tuple(seeds) for row, seeds in kept["seeds"].items()},
        share=float(kept["share"]),
        planned=bool(kept["planned"]),
        decided={(a, b): verdict for a, b, verdict in kept["decided"]},
    )


def write_looks(folder: Path, looks: Looks) -> None:
    """Write looks.json into `folder`; every look must have its decisions."""
    made = [
        {
            "seeds": {row: list(seeds) for row, seeds in look.seeds.items()},
            "share": look.share,
            "planned": look.planned,
            "decided": [[a, b, verdict] for (a, b), verdict in (look.decided or {}).items()],
        }
        for look in looks.looks
    ]
    settings = dict(looks.settings)
    write_json(folder / LOOKS, {"margin": looks.margin, "most": looks.most, "settings": settings, "looks": made})


def setting_digest(declared: Sequence[RunSpec]) -> str:
    """A digest of what a row trains, at any seed; of a row that declares nothing, somebody else's, that of nothing."""
    science = [spec.model_copy(update={"seed": 0}).science() for spec in declared]
    return hashlib.sha256(json.dumps(science, sort_keys=True).encode()).hexdigest()[:16]


def looks_in_words(looks: Looks, held: Mapping[str, Collection[int]]) -> list[str]:
    """What was looked at, what that spent, and how many runs it saved of those that a fixed design takes. `held`: the
    seeds of which there are runs, by row."""
    if not looks.looks:
        return []
    seeds = [str(max((len(one) for one in look.seeds.values()), default=0)) for look in looks.looks]
    times = "once" if len(seeds) == 1 else f"{len(seeds)} times"
    said = [
        f"This table was looked at {times}, with {listed(seeds, 9)} seeds a row. Together the looks may make a false "
        f"claim in at most {_percent(looks.spent)} of tables of equal rows; each decided at its share of that, and "
        "what was decided stays so (docs/studies.md)."
    ]
    if looks.most is not None:
        runs, fixed = sum(map(len, held.values())), looks.most * len(held)
        said.append(
            f"Run until decided: {runs} runs of the {fixed} that {looks.most} seeds of each of {len(held)} rows would "
            f"have taken; {max(fixed - runs, 0)} saved."
        )
    if any(not look.planned for look in looks.looks[1:]):
        said.append(
            "Looks that nobody had planned were made because seeds were added to a table that had been seen: each "
            "spent half of what the one before did, beside the first."
        )
    return said


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
