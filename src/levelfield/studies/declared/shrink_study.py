"""From a finished run to the study that shrinks it: as it is, pruned, taught, and what they are to be held against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from levelfield.spec import QuantizeAware, RunSpec
from levelfield.spec.identity import differing
from levelfield.spec.weights_taken import KNOWN_BY, TEACHER

WHOLE: Final = "whole"
LONGER: Final = "whole-longer"
TAUGHT: Final = "taught"
QUANTIZED: Final = "quantized"
SHARE: Final = 1 / 3
"""Length of what is trained on after pruning, in lengths of the run."""
SLOWER: Final = 0.1
"""Learning rate of it, in that of the run (Han et al., arXiv 1506.02626, section 3.3)."""

TO_ZERO: Final[dict[str, Any]] = {
    "recipe.schedule": {"name": "cosine", "final_lr": 0.0, "warmup": dict.fromkeys(("steps", "epochs", "ratio"))},
    "recipe.phases": [],
}
"""Its schedule: the run's own, with its warm-up and hand-overs, is made for the run's length."""


@dataclass(frozen=True)
class Shrinking:
    """What becomes of `run`, a resolved one: `prune`, the share of its weights that go, `prune_channels`, the share of
    its multiply-accumulates that goes with whole channels, and the folder of a `teacher`; None: not that.
    `quantize_aware`: whether it is trained on to compute in int8. `recipe`: the file beside the study's that holds its
    recipe."""

    run: RunSpec
    recipe: str
    prune: float | None = None
    prune_channels: float | None = None
    teacher: str | None = None
    quantize_aware: bool = False
    seeds: int = 3

    def recipe_file(self) -> dict[str, Any]:
        """The keys of the recipe file: what the run's recipe has otherwise than by default, and its length."""
        values: dict[str, Any] = differing(self.run.recipe)
        return {**values, "budget": self.run.budget.model_dump(mode="json", exclude_none=True)}

    def study(self) -> dict[str, Any]:
        """The keys of the study file."""
        run = self.run
        data = run.data.model_dump(mode="json", exclude_defaults=True, exclude={"checksum"})
        begun = {} if run.model.start_from is None else run.model.start_from.model_dump(mode="json")
        start = {f"model.start_from.{key}": value for key, value in begun.items()}
        rows, varies = [self._row(WHOLE, start)], []
        if smaller := self._smaller():
            slower = {"recipe.optimizer.lr": run.recipe.optimizer.lr * SLOWER, **TO_ZERO}
            after = {"after": WHOLE, "budget": self._shorter()}
            rows.append(self._row(LONGER, slower) | after)
            rows += [self._row(name, slower | {key: value}) | after for name, (key, value) in smaller.items()]
            changed = [key.rpartition(".")[0] for key, _ in smaller.values()]
            varies += [*changed, "model.start_from", "pretraining", "budget", *slower]
            varies += ["model.channels"] if self.prune_channels is not None else []
        if self.teacher is not None:
            another = {TEACHER: self.teacher, **dict.fromkeys(KNOWN_BY[TEACHER] if run.recipe.distil else ())}
            rows.append(self._row(TAUGHT, start | another))
            varies += ["recipe.distil"]
        whole = {f"model.options.{key}": value for key, value in run.model.options.items()}
        if run.execution.micro_batch is not None:
            whole["execution.micro_batch"] = run.execution.micro_batch
        return {
            "title": f"{run.model.name} on {run.data.name}, made smaller",
            "question": f"What does {run.model.name} lose or gain on {run.data.name} when it is made smaller?",
            "data": data,
            "recipes": self.recipe,
            "seeds": self.seeds,
            "baseline": WHOLE,
            "varies": varies,
            **({"set": whole} if whole else {}),
            "rows": rows,
        }

    def _smaller(self) -> dict[str, tuple[str, float]]:
        """Rows that are trained on, by name: which key of the recipe makes them smaller, and its value."""
        rows = {}
        if self.prune is not None:
            rows[f"pruned-{100 * self.prune:g}"] = ("recipe.prune.share", self.prune)
        if self.prune_channels is not None:
            rows[f"channels-{100 * self.prune_channels:g}"] = ("recipe.prune_channels.share", self.prune_channels)
        if self.quantize_aware:
            rows[QUANTIZED] = ("recipe.quantize_aware.momentum", QuantizeAware().momentum)
        return rows

    def _row(self, name: str, changes: dict[str, Any]) -> dict[str, Any]:
        return {"model": self.run.model.name, "name": name} | ({"set": changes} if changes else {})

    def _shorter(self) -> dict[str, Any]:
        """The length of the run times `SHARE`, rounded up to whole units; of a shorter run than one, its own."""
        length = self.run.budget.model_dump(mode="json", exclude_none=True)
        return {unit: min(value, math.ceil(value * SHARE)) for unit, value in length.items()}
