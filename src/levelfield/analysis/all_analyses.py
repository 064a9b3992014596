"""Every analysis that the rows of a study allow, cheapest first, within a time.

What is of the same runs already is kept, and what was asked for with options of its own is never overwritten. What
takes long asks between its steps whether time is left; what it computed of runs until then is kept under their
identity, so that the same command goes on.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from levelfield.analysis.result_cache import write_answer
from levelfield.analysis.studied_rows import FOLDER, Studied, is_still, whose
from levelfield.errors import UserError

ELSEWHERE: Final[Mapping[str, str]] = {
    "rank": "of one network at a time: levelfield analyze rank --run RUN",
    "compression": "measures latency, for which the machine has to rest: levelfield analyze compression STUDY",
}
"""Analyses that are never among them, and why."""


class OutOfTimeError(Exception):
    """The minutes are over, between two steps of an analysis."""


@dataclass(frozen=True)
class Resources:
    """What analyses may use: until when (seconds of the monotonic clock), how many test images are corrupted, a device
    and the folder of data."""

    until: float
    images: int
    device: str
    data_dir: str | None

    def ask(self, *step: object) -> None:
        """Raise OutOfTimeError where no time is left for another step."""
        if time.monotonic() >= self.until:
            raise OutOfTimeError


@dataclass(frozen=True)
class Analysis:
    """One of them: its `name`, which is also the stem of its answer's file; how it is computed; and whether its answer
    `serves` for what is asked now."""

    name: str
    compute: Callable[[Studied, Resources], dict[str, Any]]
    serves: Callable[[Mapping[str, Any], Resources], bool] = lambda answer, resources: True


def _curves(found: Studied, resources: Resources) -> dict[str, Any]:
    from levelfield.analysis.curves import curves

    return curves(found)


def _energy(found: Studied, resources: Resources) -> dict[str, Any]:
    from levelfield.analysis.energy import energy

    return energy(found)


def _errors(found: Studied, resources: Resources) -> dict[str, Any]:
    from levelfield.analysis.errors import errors

    return errors(found, resources.ask)


def _calibration(found: Studied, resources: Resources) -> dict[str, Any]:
    from levelfield.analysis.calibration import calibration

    return calibration(found, device=resources.device, data_dir=resources.data_dir, see=resources.ask)


def _attention(found: Studied, resources: Resources) -> dict[str, Any]:
    from levelfield.analysis.where_it_looks.attention import attention

    return attention(found, device=resources.device, data_dir=resources.data_dir, see=resources.ask)


def _overlays(found: Studied, resources: Resources) -> dict[str, Any]:
    from levelfield.analysis.where_it_looks.overlays import overlays

    return overlays(found, device=resources.device, data_dir=resources.data_dir, see=resources.ask)


def _robustness(found: Studied, resources: Resources) -> dict[str, Any]:
    from levelfield.analysis.robustness import robustness

    return robustness(
        found, images=resources.images, device=resources.device, data_dir=resources.data_dir, see=resources.ask
    )


ANALYSES: Final = (
    Analysis("curves", _curves),
    Analysis("energy", _energy),
    Analysis("errors", _errors),
    Analysis("calibration", _calibration),
    Analysis("overlays", _overlays),
    Analysis("attention", _attention),
    Analysis("robustness", _robustness, lambda answer, resources: _as_many(answer, resources.images)),
)
"""Cheapest first: metrics are read, then predictions; validation images and a few of the test go through
networks once (overlays: through one of each row), corrupted ones often."""


def _as_many(answer: Mapping[str, Any], images: int) -> bool:
    """Whether it is of so many test images or more (None: all), whose place fewer would take."""
    known = answer.get("images", 0)
    return known is None or known >= images


def all_analyses(
    found: Studied, resources: Resources, see: Callable[[str], None] = lambda words: None
) -> dict[str, list[dict[str, Any]]]:
    """`done`: each analysis, in how many `seconds`, and whether it was `kept`, as it was of the same runs already;
    `left_out`: which not, and why. `see` is told of each before it begins."""
    done: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []
    for analysis in ANALYSES:
        began = time.monotonic()
        kept = is_there(found, analysis, resources)
        try:
            if not kept:
                _check_not_asked_for(found, analysis)
                resources.ask()
                see(analysis.name)
                write_answer(found.folder / FOLDER, analysis.name, analysis.compute(found, resources))
        except OutOfTimeError:
            left_out.append({"analysis": analysis.name, "why": "the time is over; the same command goes on"})
        except UserError as error:
            left_out.append({"analysis": analysis.name, "why": str(error).splitlines()[0]})
        else:
            done.append({"analysis": analysis.name, "seconds": round(time.monotonic() - began, 1), "kept": kept})
    return {"done": done, "left_out": left_out + [{"analysis": name, "why": why} for name, why in ELSEWHERE.items()]}


def _check_not_asked_for(found: Studied, analysis: Analysis) -> None:
    """Raise UserError where the answer in the folder was asked for with options, which this one would not have."""
    if words := (_answer(found, analysis) or {}).get("asked"):
        asked = shlex.join(words)
        raise UserError(f"it was asked for with {asked}: levelfield analyze {analysis.name} {found.folder} {asked}")


def _answer(found: Studied, analysis: Analysis) -> dict[str, Any] | None:
    """What lies in the folder; None where nothing does that can be read."""
    try:
        answer = json.loads((found.folder / FOLDER / f"{analysis.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def is_there(found: Studied, analysis: Analysis, resources: Resources) -> bool:
    """Whether its answer lies in the folder: of these runs as they were carried out, beside these baselines, of what is
    asked for now; and nothing is here that was not when it was made."""
    answer, runs = _answer(found, analysis), whose(found)
    asked = {"baselines": dict(found.baselines), "runs": runs}
    known = all(None not in row for row in runs.values())
    if answer is None or not known or not is_still(found, answer.get("made_of")):
        return False
    return all(answer.get(key) == asked[key] for key in asked) and analysis.serves(answer, resources)
