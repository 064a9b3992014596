"""Where the runs of a ladder come from: whose weights they start from, and what made them smaller or better."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from levelfield.errors import UserError
from levelfield.runs import RunFolder
from levelfield.spec import RunSpec, covers
from levelfield.tables.differing_settings import flat_words

MADE_OF: Final = (
    "model.channels", "recipe.prune", "recipe.prune_channels", "recipe.quantize_aware", "recipe.distil",
)  # fmt: skip
"""Keys by which rungs of one network differ."""
TRAINED_ON: Final = ("model.start_from", "budget", "recipe.optimizer.lr", "recipe.schedule", "recipe.phases")
"""Keys in which what goes on from another rung's weights may differ from that: it is trained for less, and slower."""


@dataclass(frozen=True)
class Origin:
    """`parent`: the run among these whose weights a run starts from, told by their content; None where there is none.
    `done`: what was done to its network, in words, and where it starts from if that is not among them; empty where
    nothing was. `rung`: equal for the seeds of a rung."""

    parent: RunFolder | None
    done: str
    rung: str


def origins(runs: Sequence[RunFolder]) -> dict[str, Origin]:
    """Of each run by its identity. Raises UserError where they differ in more than network, seed and what `done` says.

    What starts from a run among these may have another length, learning rate and schedule than that, if all that do
    agree in these.
    """
    specs = {run.identity: run.spec() for run in runs}
    started = any(spec.model.start_from is not None for spec in specs.values())
    by_content = {run.weights_digest(): run for run in runs} if started else {}
    parents: dict[str, RunFolder | None] = {}
    for identity, spec in specs.items():
        above = None if spec.model.start_from is None else by_content.get(spec.model.start_from.digest)
        parents[identity] = None if above is None or above.identity == identity else above
    fresh, after = ([run for run in runs if (parents[run.identity] is None) is which] for which in (True, False))
    _same(runs, TRAINED_ON)
    _same(fresh)
    _same(after, ("model.start_from",))
    return {
        run.identity: Origin(parents[run.identity], _origin(run, parents, specs), _rung(run.identity, parents, specs))
        for run in runs
    }


def _rung(identity: str, parents: Mapping[str, RunFolder | None], specs: Mapping[str, RunSpec]) -> str:
    """What the seeds of a rung share: the network and what was done to it, of each run that it comes from, and the rung
    of who taught it."""
    line = [identity]
    while (above := parents[line[-1]]) is not None and above.identity not in line:  # weights that nothing changed
        line.append(above.identity)
    said = []
    for spec in (specs[each] for each in line):
        distil = spec.recipe.distil
        teacher = None if distil is None or distil.teacher_identity not in specs else distil.teacher_identity
        taught = None if teacher is None else _rung(teacher, parents, specs)
        said.append([spec.model.name, spec.model.options, _done(spec, False, specs), taught])
    return json.dumps(said, sort_keys=True)


def _origin(run: RunFolder, parents: Mapping[str, RunFolder | None], specs: Mapping[str, RunSpec]) -> str:
    spec = specs[run.identity]
    done = _done(spec, parents[run.identity] is not None, specs)
    if spec.model.start_from is None or parents[run.identity] is not None:
        return done
    start = f"starts from {spec.model.start_from.source}, which is not here"
    return f"{start}, {done}" if done else start


def _done(spec: RunSpec, after: bool, specs: Mapping[str, RunSpec]) -> str:
    recipe, said = spec.recipe, []
    if (cut := recipe.prune_channels) is not None:
        of = "multiply-accumulates" if cut.of == "macs" else "parameters"
        said.append(f"{100 * cut.share:g} % of {of} gone with channels")
    if (prune := recipe.prune) is not None:
        each = " of each layer" if prune.scope == "layer" else ""
        said.append(f"{100 * prune.share:g} % of weights zero{each}")
    if (rounding := recipe.quantize_aware) is not None:
        said.append("trained to int8" + (f", momentum {rounding.momentum:g}" if rounding.momentum != 0.01 else ""))
    if (distil := recipe.distil) is not None:
        teacher = specs.get(str(distil.teacher_identity))
        who = f"run {str(distil.teacher_identity)[:8]}" if teacher is None else teacher.model.name
        if teacher is not None and (made := _done(teacher, False, specs)):
            who += f" [{made}]"
        heat = f" at temperature {distil.temperature:g}" if distil.form == "soft" else ""
        said.append(f"taught by {who} ({distil.form}{heat}, weight {distil.weight:g})")
    if after and not said:
        said.append("trained on")
    return ", ".join(said)


def _same(runs: Sequence[RunFolder], but: tuple[str, ...] = ()) -> None:
    """Raise UserError unless the runs differ in nothing but network, seed, what made a rung and what `but` says."""
    if not runs:
        return
    first, reference = runs[0], _setting(runs[0].spec(), but)
    for run in runs[1:]:
        setting = _setting(run.spec(), but)
        different = [key for key in sorted({*reference, *setting}) if reference.get(key) != setting.get(key)]
        if different:
            said = ", ".join(f"{key} {reference.get(key)} and {setting.get(key)}" for key in different[:3])
            raise UserError(
                f"the runs of a ladder must differ in nothing but the network; {first.path} and {run.path} differ in: "
                f"{said}\nname the folder of one study, or leave the other runs out"
            )


def _setting(spec: RunSpec, but: tuple[str, ...]) -> dict[str, str]:
    """All that counts beside network, seed and what a rung is made of, by dotted key."""
    science = flat_words(spec.changed(dict.fromkeys(MADE_OF)).science())
    left_out = ("model.name", "model.options", "seed", *but)
    return {key: said for key, said in science.items() if not covers(left_out, key)}
