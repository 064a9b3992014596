"""Trials that Optuna's tree-structured Parzen estimator draws from what a row's earlier trials showed.

What it draws follows from those trials, in their order, and from the seed: a search that was stopped draws the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from levelfield.errors import UserError
from levelfield.studies.declared.tuning import Tuning
from levelfield.studies.running.search import Draw
from levelfield.tables.sweep import Trial


class Tpe:
    """The trials of one row: `points` first, as all rows have them, then what Optuna draws; `draw` makes a trial of a
    number and a point of the unit cube. Raises UserError where Optuna is not installed."""

    def __init__(
        self, tuning: Tuning, points: Sequence[tuple[float, ...]], draw: Callable[[int, tuple[float, ...]], Draw]
    ) -> None:
        self._optuna, self._tuning, self._draw = _import_optuna(), tuning, draw
        self._points = list(points)

    def __call__(self, number: int, trials: Sequence[Trial]) -> Draw | None:
        """Trial `number`, given those before it; None while one of them is open."""
        if number >= len(self._points):
            if any(trial.state == "open" for trial in trials[:number]):
                return None
            self._points.append(self._next(trials[:number]))
        return self._draw(number, self._points[number])

    def _next(self, trials: Sequence[Trial]) -> tuple[float, ...]:
        """A point of the cube, by all trials so far; a pruned one counts with the score that it was pruned for."""
        optuna = self._optuna
        keys = list(self._tuning.space)
        axes = {key: optuna.distributions.FloatDistribution(0.0, 1.0) for key in keys}
        seed = self._tuning.seed + len(trials)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Optuna calls experimental
            sampler = optuna.samplers.TPESampler(n_startup_trials=1, multivariate=True, seed=seed)
            study = optuna.create_study(direction="maximize", sampler=sampler)
            states = optuna.trial.TrialState
            for units, trial in zip(self._points, trials, strict=True):
                failed = trial.val_top1 is None
                study.add_trial(
                    optuna.trial.create_trial(
                        params=dict(zip(keys, units, strict=True)), distributions=axes,
                        value=None if failed else trial.val_top1, state=states.FAIL if failed else states.COMPLETE,
                    )
                )  # fmt: skip
            params = study.ask(axes).params
        return tuple(min(float(params[key]), 1.0 - 1e-9) for key in keys)


def _import_optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError:
        raise UserError("sampler tpe needs Optuna: pip install 'levelfield[tune]'; halton and sobol do not") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
