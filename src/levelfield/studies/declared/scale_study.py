"""From networks, sizes, lengths and shares of the data to the study that trains all of their combinations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.runs import folder_name
from levelfield.studies.declared.study import Changes
from levelfield.units import plain

SIZE_KEYS: Final = {"w": "model.options.width_factor", "d": "model.options.depth_factor"}
"""What a width and a depth set."""


@dataclass(frozen=True)
class ScaleStudy:
    """Every one of `models` on `data` by `recipe`, at all combinations of the factors `widths` and `depths`, of
    `epochs` and of `shares` of the training images (from 0 to 1). Empty: as it is. `images`: of an epoch at a share of
    1. `changes` hold for every row; `extrapolate`: as of `Scaling`.
    """

    models: tuple[str, ...]
    data: str
    recipe: str
    widths: tuple[float, ...] = ()
    depths: tuple[float, ...] = ()
    epochs: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    images: int = 0
    seeds: int = 3
    changes: Changes = field(default_factory=dict)
    extrapolate: float | None = None

    @property
    def points(self) -> list[dict[str, float]]:
        """The combinations, each as its factors by letter: w(idth), d(epth), e(pochs), s(hare)."""
        factors = {"w": self.widths, "d": self.depths, "e": self.epochs, "s": self.shares}
        used = {letter: values for letter, values in factors.items() if values}
        return [dict(zip(used, values, strict=True)) for values in product(*used.values())]

    def study(self) -> dict[str, Any]:
        """The keys of the study file. Raises UserError where nothing is varied, or something twice."""
        self._check()
        rows, curves = [], {}
        for model in self.models:
            own = [self._row(model, point) for point in self.points]
            rows += own
            curves[_slug(model)] = [row["name"] for row in own]
        used = [letter for letter in "wdes" if letter in self.points[0]]
        varies = {**SIZE_KEYS, "e": "budget", "s": "data.train_limit"}
        words = {"w": "width", "d": "depth", "e": "epochs", "s": "training images"}
        varied = " and ".join(words[letter] for letter in used)
        asked = f"How does the accuracy of {self.models[0]} grow with {varied}?"
        if len(self.models) > 1:
            asked = f"Which is better at equal cost, and how does accuracy grow with {varied}?"
        values: dict[str, Any] = {
            "title": f"Scaling of {', '.join(self.models)} over {', '.join(words[letter] for letter in used)}",
            "question": asked,
            "data": self.data,
            "recipes": self.recipe,
            "seeds": self.seeds,
            "baseline": rows[self.points.index(self._reference())]["name"],
            "varies": ["model.name", *(varies[letter] for letter in used)],
        }
        if self.changes:
            values["set"] = dict(self.changes)
        scaling = {"curves": curves} | ({} if self.extrapolate is None else {"extrapolate": self.extrapolate})
        return values | {"rows": rows, "scaling": scaling}

    def _reference(self) -> dict[str, float]:
        """The network as it is, or nearest to it, trained longest on most data."""
        return max(self.points, key=lambda at: (-_off(at.get("w")), -_off(at.get("d")), at.get("e", 0), at.get("s", 0)))

    def _row(self, model: str, point: dict[str, float]) -> dict[str, Any]:
        name = "-".join([_slug(model), *(f"{letter}{plain(value, 6)}" for letter, value in point.items())])
        changes: Changes = {key: point[letter] for letter, key in SIZE_KEYS.items() if point.get(letter, 1.0) != 1.0}
        if point.get("s", 1.0) < 1.0:
            changes["data.train_limit"] = max(1, round(point["s"] * self.images))
        row: dict[str, Any] = {"model": model, "name": name}
        row |= {"budget": {"epochs": point["e"]}} if "e" in point else {}
        return row | ({"set": changes} if changes else {})

    def _check(self) -> None:
        named = {"--widths": self.widths, "--depths": self.depths, "--epochs": self.epochs, "--data": self.shares}
        for option, values in (("ROWS", self.models), *named.items()):
            if repeated := [value for value in values if list(values).count(value) > 1]:
                raise UserError(f"{option} names {repeated[0]} twice; name it once")
        for option, values in named.items():
            if wrong := [value for value in values if not 0 < value < float("inf")]:
                raise UserError(f"{option} {plain(wrong[0])} must be a positive number")
        if wrong := [share for share in self.shares if share > 1]:
            raise UserError(f"--data {plain(wrong[0])} must be a share of the training images, from 0 to 1")
        keys = {
            "--widths": SIZE_KEYS["w"],
            "--depths": SIZE_KEYS["d"],
            "--epochs": "budget",
            "--data": "data.train_limit",
        }
        for option, key in keys.items():
            if named[option] and (against := [each for each in self.changes if _within(each, key)]):
                raise UserError(
                    f"--set {against[0]} would change what {option} varies, so that rows are not what they are called\n"
                    "leave one of them out"
                )
        if max(map(len, named.values())) < 2:
            raise UserError("a curve needs two sizes, lengths or shares of the data, better three: --widths 0.5,1,2")


def _within(one: str, other: str) -> bool:
    """Whether one of two dotted keys is, or lies in, the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _off(factor: float | None) -> float:
    """How far a factor is from the network as it is."""
    return 0.0 if factor is None else max(factor, 1 / factor)


def _slug(model: str) -> str:
    return folder_name(model)


def check_factors(models: Sequence[str], study: ScaleStudy) -> None:
    """Raise UserError for a network that has no option by which it would be made wider or deeper."""
    from levelfield.models.registry import accepts

    for letter, factors in (("w", study.widths), ("d", study.depths)):
        option = SIZE_KEYS[letter].rpartition(".")[2]
        for model in models if factors else ():
            if not accepts(model, option):
                raise UserError(
                    f"model {model!r} has no option {option!r}, by which it would be made another size\n"
                    "give its builder one, or scale it by --epochs or --data alone"
                )
