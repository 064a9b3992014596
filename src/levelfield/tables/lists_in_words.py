"""Names and counts as a sentence holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in words: "a, b and c", cut after `most`."""
    if len(names) > most:
        return ", ".join(names[:most]) + f" and {len(names) - most} more"
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def counted(count: int, one: str, many: str = "") -> str:
    """`3 runs`, `1 run`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def by_reason(reasons: Mapping[str, str]) -> list[tuple[list[str], str]]:
    """The names that have a reason in common, and the reason, each once: of seven rows without weights one line."""
    found: dict[str, list[str]] = {}
    for name, why in reasons.items():
        found.setdefault(why, []).append(name)
    return [(names, why) for why, names in found.items()]


def untold_crossings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why the crossings of some rows' learning curves are not told, or have no interval."""
    reasons = {row["row"]: row["said"] or row["no_interval"] for row in rows}
    return [f"{listed(names, len(names))}: {why}" for names, why in by_reason(reasons) if why]


def left_out_in_words(answer: Mapping[str, Any]) -> list[str]:
    """Which rows an analysis leaves out, and why. A row that has figures all the same is not left out: what it lacks is
    said of it alone."""
    shown = {row["row"] for row in answer.get("rows", ()) if row.get("runs") or row.get("points")}
    said = []
    for names, why in by_reason(answer.get("left_out") or {}):
        own, gone = ([name for name in names if (name in shown) == here] for here in (True, False))
        said += [f"{listed(own, len(own))}: {why}"] if own else []
        said += [f"{listed(gone, len(gone))} {'is' if len(gone) == 1 else 'are'} left out: {why}"] if gone else []
    return said


def not_counted(trained_before: Sequence[str]) -> str:
    """What the training of rows that start from trained weights leaves out, in words; empty where none does."""
    if not trained_before:
        return ""
    starts = "starts" if len(trained_before) == 1 else "start"
    return (
        f"{listed(trained_before)} {starts} from trained weights: what these took, in epochs and time, is not counted"
    )
