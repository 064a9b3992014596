"""A study over several data sets: a row per model over the sets, by ranks and never by a mean of accuracies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from levelfield.spec import RunSpec
from levelfield.statistics.suite import (
    Improvement,
    Ranking,
    fewest_sets,
    performance_profile,
    ranking,
    rounded_mean,
)
from levelfield.tables.audit.compare_values import words
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.number_format import NONE, p_value, percent
from levelfield.tables.table import StudyTable, TableRow

COLUMNS: Final = ("model", "average rank", "rank in each set")
PAIRS: Final = ("pair", "probability of improvement", "interval over seeds", "adjusted p over sets", "verdict")
LEVELS: Final = 100
"""Levels of top-1 at which performance profiles are drawn."""


@dataclass(frozen=True)
class Suite:
    """`models`: the rows of each on every one of `sets`. `left_out`: models that some set has no result of. `strange`:
    rows of which it is not known here which model they are."""

    sets: tuple[str, ...]
    models: dict[str, tuple[TableRow, ...]]
    left_out: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()

    @cached_property
    def runs(self) -> dict[str, list[list[float]]]:
        """The top-1 of every run, by model and set."""
        return {
            name: [[float(run.result["top1"]) for run in row.runs.finished] for row in rows]
            for name, rows in self.models.items()
        }

    @cached_property
    def ranking(self) -> Ranking:
        return ranking(self.runs)

    def lines(self) -> list[tuple[str, str, str]]:
        """A model a line, best first: its average rank, and its place on every set."""
        return [(name, f"{rank:.2f}", self._places(name)) for name, rank in self.ranking.ranks.items()]

    def pair_lines(self) -> list[tuple[str, ...]]:
        """A pair a line, under `PAIRS`."""
        return [
            (f"{one.a} over {one.b}", f"{one.probability:.2f}", _between(one),
             p_value(one.p_adjusted), "different" if one.decided else "undecided")
            for one in self.ranking.pairs
        ]  # fmt: skip

    def profiles(self) -> list[tuple[str, float, float]]:
        """(model, level, share of runs above it), from the lowest score to the highest."""
        every = [score for of in self.runs.values() for scores in of for score in scores]
        low, high = min(every), max(every)
        levels = [low + (high - low) * i / LEVELS for i in range(LEVELS + 1)]
        return [
            (name, level, share)
            for name, of in self.runs.items()
            for level, share in zip(levels, performance_profile(of, levels), strict=True)
        ]

    def in_words(self) -> list[str]:
        """What the ranking rests on and says, a sentence each."""
        found = self.ranking
        sets = counted(found.sets, "data set")
        said = [f"Over {sets} ({listed(list(self.sets), 8)}): ranks by mean top-1 within each set, 1 the best."]
        said.append(f"Friedman's test that all models are alike: p {p_value(found.friedman)}.")
        decided = [f"{one.a} before {one.b}" for one in found.pairs if one.decided]
        said.append(
            "Decided over the sets (Wilcoxon's signed-rank test, Holm over all pairs): "
            + (f"{listed(decided, 12)}." if decided else "no pair.")
        )
        said.append(
            f"Nemenyi's critical difference of average ranks: {found.critical_difference:.2f}, of {len(self.models)} "
            f"models over {sets}."
        )
        if found.sets < (least := fewest_sets(len(found.pairs))):
            said.append(
                f"{sets} cannot decide a pair of {len(self.models)} models at 5 %, whatever they show: {least} can."
            )
        if single := [one for one in found.pairs if one.low is None]:
            which = "Pairs" if len(single) == len(found.pairs) else f"{len(single)} of {len(found.pairs)} pairs"
            said.append(f"{which} have no interval over seeds: a single run on some set shows no spread.")
        if self.left_out:
            said.append(f"Not in it, without a result on every set: {listed(list(self.left_out), 8)}.")
        if self.strange:
            said.append(f"Not in it, as their models are not known here: {listed(list(self.strange), 8)}.")
        return said

    def as_json(self) -> dict[str, Any]:
        found = self.ranking
        return {
            "sets": list(self.sets),
            "average_ranks": dict(found.ranks),
            "friedman_p": found.friedman,
            "critical_difference": found.critical_difference,
            "groups": [list(group) for group in found.groups],
            "pairs": [vars(one) for one in found.pairs],
            "left_out": list(self.left_out),
        }

    def _places(self, name: str) -> str:
        places = []
        for i in range(len(self.sets)):
            own = rounded_mean(self.runs[name][i])
            better = sum(rounded_mean(runs[i]) > own for runs in self.runs.values())
            places.append(f"{better + 1} ({percent(own, 1)})")
        return ", ".join(places)


def _between(one: Improvement) -> str:
    return NONE if one.low is None or one.high is None else f"[{one.low:.2f}, {one.high:.2f}]"


def suite_of(table: StudyTable) -> Suite | None:
    """The models that have a result on every data set of the study; None where there are not two of both.

    A model is a network with its options under one recipe; a study with two rows of one on the same set is none.
    """
    found, names = _by_set(table)
    titles = _titles(list(found))
    whole = {titles[model]: rows for model, rows in found.items() if len(rows) == len(names)}
    if len(names) < 2 or len(whole) < 2 or any(len(of) > 1 for rows in found.values() for of in rows.values()):
        return None
    models = {title: tuple(rows[name][0] for name in names) for title, rows in whole.items()}
    left_out = tuple(titles[model] for model in found if titles[model] not in whole)
    return Suite(names, models, left_out, tuple(row.title for row in table.measured if row.runs.spec is None))


def why_no_suite(table: StudyTable) -> str:
    """Why models that have results on several data sets are not ranked over them; "" where they are, or none has."""
    found, names = _by_set(table)
    titles = _titles(list(found))
    whole = [titles[model] for model, rows in found.items() if len(rows) == len(names)]
    if len(names) < 2 or len(found) < 2 or max(map(len, found.values())) < 2:
        return ""
    said = f"Models are not ranked over the {len(names)} data sets"
    if len(whole) < 2:
        return f"{said}: {f'only {whole[0]} has' if whole else 'none has'} a result on each of them."
    for model, rows in found.items():
        for name, of in rows.items():
            if len(of) > 1:
                return f"{said}: {titles[model]} has {len(of)} rows on {name} ({listed([row.name for row in of], 4)})."
    return ""


def _by_set(table: StudyTable) -> tuple[dict[Model, dict[str, list[TableRow]]], tuple[str, ...]]:
    """The rows of each model by data set, and the sets; those that are somebody else's are of no model known here."""
    found: dict[Model, dict[str, list[TableRow]]] = {}
    for row in table.measured:
        if row.runs.spec is not None:
            found.setdefault(_model(row.runs.spec), {}).setdefault(row.panel, []).append(row)
    return found, tuple(dict.fromkeys(row.panel for row in table.measured))


Model = tuple[str, tuple[tuple[str, str], ...], str]
"""A network's name, its options with their values as JSON, and the name of its recipe."""


def _model(spec: RunSpec) -> Model:
    options = tuple(sorted((key, json.dumps(value, sort_keys=True)) for key, value in spec.model.options.items()))
    return spec.model.name, options, spec.recipe.name


def _titles(models: Sequence[Model]) -> dict[Model, str]:
    """Each by its network's name, with the options that tell it from others of that name, and with its recipe where
    there are several."""
    recipes = {recipe for _, _, recipe in models}
    titles = {}
    for model in models:
        name, options, recipe = model
        alike = [dict(other) for named, other, _ in models if named == name]
        telling = sorted(key for key in set().union(*alike) if len({other.get(key) for other in alike}) > 1)
        own = {key: words(json.loads(value)) for key, value in options}
        title = "; ".join([name, *(f"{key} {own.get(key, 'not set')}" for key in telling)])
        titles[model] = title + (f" / {recipe}" if len(recipes) > 1 else "")
    return titles
