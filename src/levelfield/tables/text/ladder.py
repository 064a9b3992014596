"""What `levelfield analyze compression` says of a rung, as cells of a terminal's or a page's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.number_format import NONE, estimate_with_interval, percent
from levelfield.units import plain, short, size

NUMBERS: Final = (
    "top-1 %", "change", "seeds", "steps", "params", "MACs", "on disk", "CPU ms", "J of 1,000 images",
)  # fmt: skip
"""Headings of what is a number."""
MADE: Final = ("started from", "what was done")
"""Headings of how a rung was made."""


def headings(ladder: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Those that `ladder`, as compression.json has it, has something to say under."""
    made, numbers = any(rung.get("done") for rung in ladder), list(NUMBERS)
    if not made:
        numbers.remove("change")
    if all(rung.get("joules_per_image") is None for rung in ladder):
        numbers.remove("J of 1,000 images")
    return ("model", *(MADE if made else ()), *numbers)


def cells(rung: Mapping[str, Any], under: Sequence[str]) -> tuple[str, ...]:
    """A rung under these headings."""
    torch, joules = rung.get("torch_latency_ms"), rung.get("joules_per_image")
    said = {
        "model": rung["model"],
        "started from": rung.get("parent") or NONE,
        "what was done": rung.get("done") or NONE,
        "top-1 %": estimate_with_interval(rung.get("accuracy")) if "accuracy" in rung else percent(rung["top1_mean"]),
        "change": estimate_with_interval(rung.get("changed"), difference=True),
        "seeds": str(len(rung["top1"])),
        "steps": f"{rung['steps']:,}",
        "params": short(1e6 * rung["params_m"]),
        "MACs": short(1e6 * rung["macs_m"]),
        "on disk": size(rung["size_mib"]),
        "CPU ms": percent(rung["latency_ms"], 1) + ("" if torch is None else f" ({percent(torch, 1)})"),
        "J of 1,000 images": NONE if joules is None else plain(1e3 * joules, 3),
    }
    return tuple(said[heading] for heading in under)


def made_in_words(rung: Mapping[str, Any]) -> str:
    """ "trained to int8, from resnet_mini (whole)"; of what started fresh, that it did."""
    done, parent = rung.get("done"), rung.get("parent")
    return f"{done}, from {parent}" if done and parent else done or "from scratch"


def notes(ladder: Sequence[Mapping[str, Any]]) -> list[str]:
    """What to know of the figures, a sentence or two each."""
    said = [
        "Means over seeds, with their intervals; size of the stored weights; median latency of one image on a CPU, a "
        "process a model, the faster of two rounds."
    ]
    if any(rung.get("done") for rung in ladder):
        said.append(
            "Change: points of top-1 against the runs whose weights a rung started from, seed by seed. What starts "
            "from another rung may be trained for less and slower, and has all that training more than it; one that is "
            "trained to int8 has the accuracy of its rounding and the time and size of its network in float32."
        )
    if any(rung.get("torch_latency_ms") is not None for rung in ladder):
        said.append(
            "An exported file has its own size, and the accuracy and latency that its export measured in its own "
            "runtime; in brackets PyTorch's in the same turns."
        )
    if any(rung.get("joules_per_image") is not None for rung in ladder):
        said.append("Joules: of the processor while images went through one at a time, whatever else ran on it.")
    return said + _of_other_seeds(ladder) + _timed_otherwise(ladder)


def _of_other_seeds(ladder: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rungs that have fewer seeds than the one that they were made of: their means are not of the same runs."""
    seeds = {rung["model"]: len(rung["top1"]) for rung in ladder}
    fewer = [
        f"{rung['model']} {len(rung['top1'])} of {seeds[rung['parent']]}"
        for rung in ladder
        if rung.get("parent") in seeds and len(rung["top1"]) < seeds[rung["parent"]]
    ]
    if not fewer:
        return []
    return [f"Not made of every run of the rung above: {listed(fewer)}. There the change compares, the means do not."]


def _timed_otherwise(ladder: Sequence[Mapping[str, Any]]) -> list[str]:
    """What makes latencies, and joules, tell little: others at work, and rungs that were timed in other ways."""
    said = []
    if busy := [rung for rung in ladder if rung.get("resting") is False]:
        used = [rung["busy_percent"] for rung in busy if rung["busy_percent"] is not None]
        how = f"others used up to {max(used):.0f} % of it" if used else "whether it did is not known"
        who = "" if len(busy) == len(ladder) else f" of {listed([rung['model'] for rung in busy])}"
        said.append(f"The machine did not rest while latencies{who} were measured ({how}): these times tell little.")
    alike: dict[str, list[str]] = {}
    for rung in ladder:
        if rung.get("threads") is not None:
            on = f"{counted(rung['threads'], 'thread')} of {rung['processor'] or 'an unknown processor'}"
            alike.setdefault(on, []).append(rung["model"])
    if len(alike) > 1:
        each = "; ".join(f"{listed(models)} on {on}" for on, models in alike.items())
        said.append(f"Latencies do not compare where they were measured differently: {each}.")
    return said
