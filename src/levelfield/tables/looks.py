"""The looks that were made at a study's growing table, kept beside it in looks.json, and said in words.

```
{"margin": 0.5, "verdict": "usual", "most": 10 or null, "settings": {row: digest of what it trains},
 "looks": [{"seeds": {row: [seeds that were looked at]}, "share": of the 5 %, "asked": seeds a row that a plan had or 0,
            "pairs": [{"a": row, "b": row, ...as in `statistics.Difference`}, ...]}]}
```
`most`: seeds a row up to which the looks were planned. A table with looks shows what they said (`statistics.looks`), by
the margin and the rule that they were made with, while its rows are what they were: of one whose setting was edited
since, no look knows anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from levelfield.errors import UserError
from levelfield.runs import write_json
from levelfield.spec import RunSpec
from levelfield.statistics import ALPHA, Difference
from levelfield.statistics.looks import Look
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.verdict_rule import VerdictRule, checked_margin, checked_rule

LOOKS: Final = "looks.json"
PAIRS: Final = TypeAdapter(tuple[Difference, ...])


@dataclass(frozen=True)
class Looks:
    """The `looks` made so far, at one `margin` of equivalence, by one rule (`verdict`). `settings`: of each row, a
    digest of what it trains. `most`: seeds a row up to which they are planned, None without a plan."""

    looks: tuple[Look, ...]
    margin: float
    verdict: VerdictRule
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
                pairs=look.pairs and tuple(pair for pair in look.pairs if {pair.a, pair.b} <= kept),
            )
            for look in self.looks
        )
        return replace(self, looks=looks, settings={row: settings[row] for row in kept}) if kept else None

    @property
    def seen(self) -> dict[str, set[int]]:
        """The seeds of each row that any of them looked at."""
        found: dict[str, set[int]] = {}
        for look in self.looks:
            for row, seeds in look.seeds.items():
                found.setdefault(row, set()).update(seeds)
        return found

    def with_look(self, look: Look) -> Looks:
        return replace(self, looks=(*self.looks, look))


def rule_of_table(
    looks: Looks | None, kept: tuple[float, VerdictRule], margin: float | None, verdict: str | None
) -> tuple[float, VerdictRule]:
    """By which margin and rule a table is decided: `margin` and `verdict` where they are given, else as was `kept`.

    A table with looks stays with theirs: others would be chosen after the results were seen; looks that are planned and
    not yet made bind nobody. Raises UserError where others are asked for, and for what cannot be.
    """
    usual = kept if looks is None else (looks.margin, looks.verdict)
    asked = (
        usual[0] if margin is None else checked_margin(margin),
        usual[1] if verdict is None else checked_rule(verdict),
    )
    if looks is not None and looks.looks and asked != usual:
        raise UserError(
            f"the looks at this table were made by the {usual[1]} rule within {usual[0]:g} points, not by the "
            f"{asked[1]} one within {asked[0]:g}\n"
            "leave --margin and --verdict away, or choose another folder with --out"
        )
    return asked


def read_looks(folder: Path) -> Looks | None:
    """The looks at the study in `folder`; None where no more than one was made. Raises UserError for a damaged file."""
    path = folder / LOOKS
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        looks = tuple(_look(one) for one in kept["looks"])
        return Looks(looks, float(kept["margin"]), checked_rule(kept["verdict"]), dict(kept["settings"]), kept["most"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be read: {error!r}\nput back a copy: without it nobody knows what was decided when"
        ) from None


def _look(kept: dict[str, Any]) -> Look:
    return Look(
        seeds={row: tuple(seeds) for row, seeds in kept["seeds"].items()},
        share=float(kept["share"]),
        asked=int(kept["asked"]),
        pairs=PAIRS.validate_python(kept["pairs"]),
    )


def write_looks(folder: Path, looks: Looks) -> None:
    """Write looks.json into `folder`; every look must have its pairs."""
    made = [
        {
            "seeds": {row: list(seeds) for row, seeds in look.seeds.items()},
            "share": look.share,
            "asked": look.asked,
            "pairs": PAIRS.dump_python(look.pairs or (), mode="json"),
        }
        for look in looks.looks
    ]
    head = {"margin": looks.margin, "verdict": looks.verdict, "most": looks.most, "settings": dict(looks.settings)}
    write_json(folder / LOOKS, {**head, "looks": made})


def setting_digest(declared: Sequence[RunSpec]) -> str:
    """A digest of what a row trains, at any seed; of a row that declares nothing, somebody else's, that of nothing."""
    science = [spec.model_copy(update={"seed": 0}).science() for spec in declared]
    return hashlib.sha256(json.dumps(science, sort_keys=True).encode()).hexdigest()[:16]


def looks_in_words(looks: Looks, held: Mapping[str, Collection[int]]) -> list[str]:
    """What was looked at, what that spent, and how many runs it saved of those that a fixed design takes. `held`: the
    seeds of which there are runs, by row."""
    if not looks.looks:
        return []
    seeds = [str(look.most) for look in looks.looks]
    times = "once" if len(seeds) == 1 else f"{len(seeds)} times"
    said = [
        f"This table was looked at {times}, with {listed(seeds, 9)} seeds a row. Together the looks may make a false "
        f"claim in at most {_percent(looks.spent)} of tables of equal rows; each decided at its share of that, and "
        "each pair stands as at the last look that it took part in (docs/how-to/studies.md)."
    ]
    seen = looks.seen
    unseen = sum(len(set(found) - seen.get(row, set())) for row, found in held.items())
    if unseen:
        said.append(
            f"{counted(unseen, 'run')} came after the last look: means and intervals of rows count them, differences "
            "and verdicts do not. `levelfield study run` looks again, at what it may then spend."
        )
    if looks.most is not None:
        runs, fixed = sum(map(len, seen.values())), looks.most * len(held)
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
