"""`record.json`: the runs of a record, what they were made with, and what they say together; and the same as Markdown.

What is counted, and what is not, is part of the file (`COUNTED`), so that a record says its own rules.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.statistics.intervals import Estimate, seeds_interval

COUNTED: Final = {
    "train_s": "every step from the first to the last, input and augmentation included; images in memory before",
    "train_and_test_s": "train_s and the test; what airbench counts. Network and optimiser are made before",
    "everything_s": "the whole process without its warm-up: start-up, data opened, network made, trained, tested",
    "warm_up_s": "not counted: a few steps (on a GPU an epoch) of the run's shapes on random labels, thrown away",
    "test": "the weights that the recipe names, once, on every test image as it is: no averaging over flips or shifts",
    "runs": "all of seeds 0 to n - 1, a process each; none is left out",
}
"""What the figures of a record are."""
FORMAT: Final = "levelfield record 1"
TIMES: Final = ("train_s", "train_and_test_s", "everything_s")
Run = dict[str, Any]


def summary(runs: Sequence[Run], target: float, within: float | None) -> dict[str, Any]:
    """Means with their 95 % intervals, the share of runs at or above `target`, and what may be said."""
    tops = [run["top1"] for run in runs]
    top1 = seeds_interval(tops)
    found: dict[str, Any] = {
        "runs": len(runs),
        "top1": _within(_plain(top1), 0.0, 100.0),
        "at_or_above": sum(top >= target for top in tops),
    }
    for key in TIMES:
        found[key] = _within(_plain(seeds_interval([run[key] for run in runs])), 0.0, math.inf)
    found["reached"] = top1.value >= target
    found["reached_beyond_chance"] = top1.low is not None and top1.low >= target
    found["in_time"] = None if within is None else found["everything_s"]["value"] <= within
    return found


def pairs(runs: Sequence[Run], others: Sequence[Run]) -> dict[str, Any]:
    """This record beside the previous one, seed by seed: how many times as long that one took, and points of top-1."""
    by_seed = {run["seed"]: run for run in others}
    both = [(run, by_seed[run["seed"]]) for run in runs if run["seed"] in by_seed]
    found: dict[str, Any] = {"pairs": len(both)}
    for key in TIMES if both else ():
        found[f"{key}_ratio"] = _plain(seeds_interval([other[key] / run[key] for run, other in both]))
    if both:
        found["top1_points"] = _plain(seeds_interval([run["top1"] - other["top1"] for run, other in both]))
    return found


def _plain(estimate: Estimate) -> dict[str, Any]:
    values = asdict(estimate)
    return {key: values[key] for key in ("value", "low", "high", "n")}


def _within(estimate: dict[str, Any], low: float, high: float) -> dict[str, Any]:
    """Its interval cut to what the figure may be: no top-1 is above 100 %, no time below zero."""
    if estimate["low"] is None:
        return estimate
    return estimate | {"low": max(low, estimate["low"]), "high": min(high, estimate["high"])}


def read_record(path: Path) -> dict[str, Any]:
    """A record's content. Raises UserError for what is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no record of `levelfield record`: {error}\ngive a record.json") from None
    return dict(content)


def verdict(content: Mapping[str, Any]) -> str:
    """What may be said of a record, in a sentence."""
    found, target, within = content["summary"], content["target"], content["within"]
    if not found["runs"]:
        return "no run is finished yet"
    mean = f"the mean of {found['runs']} runs is {found['top1']['value']:.2f} %"
    if not found["reached"]:
        text = f"not reached: {mean}, below {target:g} %"
    elif found["reached_beyond_chance"]:
        text = f"reached: {mean}, and its interval lies at or above {target:g} %"
    else:
        text = f"reached by the mean alone: {mean}, but its interval reaches below {target:g} %, or there is none"
    if within is not None:
        taken = found["everything_s"]["value"]
        text += f"; {taken:.1f} s with everything, {'within' if found['in_time'] else 'longer than'} {within:g} s"
    if found["runs"] < content["wanted_runs"]:
        text += f"; {content['wanted_runs'] - found['runs']} runs are still to come"
    return text


def as_markdown(content: Mapping[str, Any]) -> str:
    """The record as a page: what it is, its table, every run, what counts, and what it was made with."""
    sides = {"this record": content} | ({"previous record": content["against"]} if content.get("against") else {})
    lines = [
        f"# {content['data']}: time to {content['target']:g} %",
        "",
        f"{verdict(content)[0].upper()}{verdict(content)[1:]}.",
    ]
    lines += [
        "",
        "| | runs | top-1 | at or above | training | training and test | everything |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, side in sides.items():
        found = side["summary"]
        if not found["runs"]:
            continue
        cells = [_cell(found["top1"], "%"), f"{found['at_or_above']} of {found['runs']}"]
        cells += [_cell(found[key], "s") for key in TIMES]
        label = f"{name}: {side['model']}, {side['recipe']}"
        lines.append(f"| {label} | {found['runs']} | " + " | ".join(cells) + " |")
    if content.get("against") and content["pairs"]["pairs"]:
        ratio, points = content["pairs"]["train_and_test_s_ratio"], content["pairs"]["top1_points"]
        lines += [
            "",
            f"In {content['pairs']['pairs']} pairs of equal seed on this machine the previous record took "
            f"{_cell(ratio, 'times')} as long (training and test); this one is {_cell(points, 'points')} above it.",
        ]
    lines += ["", "Means with 95 % intervals over seeds (Student's t).", "", "## What is counted", ""]
    lines += [f"- `{key}`: {text}" for key, text in COUNTED.items()]
    lines += [
        "",
        "## Runs",
        "",
        "| seed | top-1 | training | test | everything | others' share of the machine |",
        "|---|---|---|---|---|---|",
    ]
    for run in content["runs"]:
        busy = "" if run["busy_percent"] is None else f"{run['busy_percent']:.0f} %"
        test = run["train_and_test_s"] - run["train_s"]
        cells = [
            f"{run['top1']:.2f} %",
            f"{run['train_s']:.2f} s",
            f"{test:.2f} s",
            f"{run['everything_s']:.2f} s",
            busy,
        ]
        lines.append(f"| {run['seed']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "## Made with", "", *_made_with(content)]) + "\n"


def _made_with(content: Mapping[str, Any]) -> list[str]:
    made, source = content["environment"], content["source"]
    lines = [f"- {content['parameters']:,} parameters, {content['spec']['recipe']['precision']}"]
    if "test_images" in content:  # not in the first records
        lines.append(f"- {content['test_images']:,} test images")
    if content.get("changed"):
        lines.append("- changed from the recipe: " + ", ".join(f"`{change}`" for change in content["changed"]))
    lines += [f"- {made.get('gpu') or made['processor']}, {made['threads']} threads of {made['cores']} cores"]
    lines += [f"- torch {made['packages']['torch']}, python {made['python']}, {made['os']}"]
    commit = source["git_commit"] or "unknown"
    return [*lines, f"- source {source['sha256'][:16]}, commit {commit}, identity {content['identity'][:16]}"]


def _cell(estimate: Mapping[str, Any], unit: str) -> str:
    value = f"{estimate['value']:.2f} {unit}"
    return value if estimate["low"] is None else f"{value} [{estimate['low']:.2f}, {estimate['high']:.2f}]"
