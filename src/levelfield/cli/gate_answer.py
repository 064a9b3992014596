"""The answer of `levelfield gate`, for a person and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from levelfield.studies.running.gate import look_in_words
from levelfield.tables.lists_in_words import listed

if TYPE_CHECKING:
    from levelfield.statistics.gate import GateLook
    from levelfield.studies.running.gate import GateResult

SHOWN: Final = 8
"""Settings that are named with their values; JSON has all."""


def as_json(found: GateResult, ledger: Path | None) -> dict[str, Any]:
    entry, outcome = found.entry, found.outcome
    last = outcome.looks[-1] if outcome.looks else None
    return {
        "verdict": outcome.verdict,
        "why": outcome.why,
        "by": entry.asked.by,
        "gain": None if last is None else last.gain,
        "above": None if last is None else last.low,
        "seeds": 0 if last is None else last.seeds,
        "max_seeds": entry.most,
        "level": entry.level,
        "baseline": {"name": entry.names[0], "identity": entry.asked.baseline},
        "candidate": {"name": entry.names[1], "identity": entry.asked.candidate},
        "differ": {key: {"baseline": one, "candidate": two} for key, (one, two) in found.differ.items()},
        "looks": [asdict(look) for look in outcome.looks],
        "looked_at_before": [{"study": str(one.study), "looks": one.looks} for one in found.looked_at],
        "decided_before": found.before,
        "ledger": None
        if ledger is None
        else {
            "file": str(ledger), "number": entry.number, "tried": len(found.all), "kept": found.count("better"),
            "dropped": found.count("not better"), "undecided": found.count("undecided"),
            "unfinished": found.count(None),
        },
    }  # fmt: skip


def in_words(found: GateResult, ledger: Path | None, finished: bool) -> Iterator[str]:
    """The answer, a line each. `finished`: both sides were, in folders, and nothing was trained."""
    entry, outcome = found.entry, found.outcome
    one, two = entry.names
    better = outcome.verdict == "better"
    ended = f" by more than {entry.asked.by:g} points" if better else f" ({outcome.why})"
    yield f"{two} against {one}: {outcome.verdict}{ended}"
    if outcome.looks and outcome.looks[-1].gain is not None:
        last = outcome.looks[-1]
        yield f"{look_in_words(last)}; {last.seeds} seeds of each side, at most {entry.most}; {last.method}"
    if differ := _differ(found.differ):
        yield differ
    if finished and outcome.looks and not found.before:
        yield from _known_of_folders(found, outcome.looks[-1])
    if ledger is not None:
        counts = {"kept": "better", "dropped": "not better", "undecided": "undecided"}
        said = [f"{found.count(verdict)} {word}" for word, verdict in counts.items()]  # type: ignore[arg-type]
        said += [f"{left} not finished"] if (left := found.count(None)) else []
        yield (
            f"candidate {entry.number} of {ledger}, judged at {100 * entry.level:.2g} % of the 5 % for all; "
            f"{len(found.all)} tried: {', '.join(said)}"
        )
    if found.before:
        yield "decided before: the ledger's answer, nothing was run"


def _differ(differ: Mapping[str, tuple[str, str]]) -> str:
    """In what the two differ; nothing where that is the network alone, which their names say."""
    if differ.keys() <= {"model.name"}:
        return ""
    said = [f"{key} ({one}, {two})" for key, (one, two) in differ.items()]
    return f"they differ in {listed(said, SHOWN)}"


def _known_of_folders(found: GateResult, look: GateLook) -> Iterator[str]:
    """What is known of how finished runs came to be looked at, beside this `look`."""
    for one in found.looked_at:
        yield (
            f"{one.study} was looked at {one.times} before: this look spends {100 * look.level:.3g} % beside those, "
            f"as a further look at it may; what they decided: levelfield study report, or {one.study / 'looks.json'}"
        )
    if not found.looked_at:
        yield (
            "one look at finished runs: it holds if these two and their seeds were chosen before their results were "
            "seen, which folders cannot say"
        )
