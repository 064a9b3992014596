"""Where the rows ran: every key of environment.json, machines told apart, and what that means for cost figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from levelfield.tables.audit.compare_values import ABSENT, Contrast, flat, words
from levelfield.tables.audit.findings import AuditRow, Finding, Panel, differing, differing_keys
from levelfield.tables.cost_columns import profile_of, read_costs, trusted
from levelfield.tables.lists_in_words import counted, listed

MACHINE: Final = ("machine", "processor", "gpu", "cores", "device", "threads", "processes")
"""What tells machines, and shares of one, apart."""
VERSIONS: Final = ("packages.torch", "cuda")
"""What decides a network's speed and memory besides."""
SHOWN: Final = 4


def environment(panel: Panel) -> Iterable[Finding]:
    """Each key of the environment in which rows differ, those that differ alike together."""
    rows = [row for row in panel.measured if row.own]
    found = {row.name: _values(row) for row in rows}
    silent = [name for name, values in found.items() if not values]
    if silent:
        text = f"Where and with what versions {listed(silent)} ran: they left no environment.json."
        yield Finding("environment", "unchecked", text, tuple(silent))
    found = {name: values for name, values in found.items() if values}
    keys = list(dict.fromkeys(key for values in found.values() for key in values))
    differ: Contrast = {}
    several = False
    for key in keys:
        said = {name: values.get(key, (ABSENT,)) for name, values in found.items()}
        first, *others = dict.fromkeys(said.values())
        if others:
            differ[key] = {name: " / ".join(values) for name, values in said.items()}
        elif len(first) > 1:
            several = True
            text = f"The runs of {panel.every} ran with several values of {key}: {' / '.join(first)}."
            yield Finding("environment", "differs", text, tuple(found))
    yield from differing_keys("environment", "differs", differ, lambda key: ("The environment", _short(key)), SHOWN)
    if len(found) > 1 and not differ and not several:
        text = f"the environment is the same in {panel.every} ({counted(len(keys), 'key')}: versions, machine, commit)"
        yield Finding("environment", "passed", text, tuple(found))


def machines(panel: Panel) -> Iterable[Finding]:
    """Times and cost figures of rows that were measured on different machines, or on different shares of one."""
    timed = [row for row in panel.measured if row.results("train_seconds")]
    trained = {row.name: values for row in timed if (values := _values(row))}
    yield from _on_one(trained, "Times of training", MACHINE)
    profiles = read_costs(panel.folder)
    of_rows = {row.name: profile_of(profiles, row.spec) for row in panel.measured}
    profiled = {
        name: {key: (words(value),) for key, value in flat(profile.get("environment", {})).items()}
        for name, profile in of_rows.items()
        if profile is not None and trusted(profile)
    }
    yield from _on_one(profiled, "Cost figures (images/s, milliseconds, memory)", (*MACHINE, *VERSIONS))


def _on_one(known: Mapping[str, Mapping[str, tuple[str, ...]]], what: str, keys: tuple[str, ...]) -> Iterable[Finding]:
    """Whether the rows' figures come from one machine: row -> key of its environment -> values."""
    if len(known) < 2:
        return
    where = {name: {key: values.get(key, (ABSENT,)) for key in keys} for name, values in known.items()}
    if apart := [key for key in keys if len({place[key] for place in where.values()}) > 1]:
        said = {name: ", ".join(_said(key, place[key]) for key in apart) for name, place in where.items()}
        text = f"{what} do not compare: they were measured on different machines"
        yield from differing("machines", "differs", text, said)
        return
    place = next(iter(where.values()))
    if place["machine"] == (ABSENT,):
        named = [key for key in ("processor", "gpu", "cores") if place[key] != (ABSENT,)]
        kind = ", ".join(_said(key, place[key]) for key in named) or "not even that"
        text = f"{what}: whether they come from one machine; only its kind is recorded ({kind})."
        yield Finding("machines", "unchecked", text, tuple(known))
    elif len(place["machine"]) > 1:
        text = f"{what} are means over {len(place['machine'])} machines, the same ones in every such row."
        yield Finding("machines", "differs", text, tuple(known))
    else:
        yield Finding("machines", "passed", f"{what[0].lower()}{what[1:]} come from one machine", tuple(known))


def _values(row: AuditRow) -> dict[str, tuple[str, ...]]:
    """Key -> the different values that the row's runs had, in every start of each."""
    every: list[dict[str, Any]] = []
    for run in row.own:
        if found := run.folder.environment():
            every += [found, *found.get("earlier", ())]
    starts = [flat({key: value for key, value in each.items() if key != "earlier"}) for each in every]
    keys = dict.fromkeys(key for each in starts for key in each)
    return {key: tuple(sorted({words(each.get(key, ABSENT)) for each in starts})) for key in keys}


def _short(key: str) -> str:
    return key.removeprefix("packages.")


def _said(key: str, values: tuple[str, ...]) -> str:
    return f"{_short(key)} {' / '.join(values)}"
