"""What every analysis of a study starts from: its rows with their finished runs, the test set and baseline of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.statistics import RowScores
from levelfield.statistics.holm import Decisions, holm
from levelfield.statistics.measures import Measure, compare_measures
from levelfield.tables.cost_columns import COSTS
from levelfield.tables.make_table import compared
from levelfield.tables.outcomes import failed_seeds
from levelfield.tables.read_folder import read_study
from levelfield.tables.rows import one_per_training
from levelfield.tables.runs_of_row import Measured
from levelfield.tables.scores_of_rows import shared_starts

Values = Mapping[int, Mapping[str, float | None]]
"""Of one row by seed: its measures by key, None where a run has none."""
FOLDER: Final = "analysis"
"""Where in a study's folder analyses lie, which its page shows from then on."""


@dataclass(frozen=True)
class StudiedRow:
    """A row with its finished `runs`, one a seed. `panel`: the test set that it shares with the rows it is compared
    with. `start`: equal where rows start, seed by seed, from the same weights. `failed`: seeds that failed while they
    trained."""

    name: str
    title: str
    panel: str
    start: str | None
    runs: tuple[Measured, ...]
    failed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Studied:
    """The measured rows of the study in `folder`, and the baseline of each panel."""

    folder: Path
    rows: tuple[StudiedRow, ...]
    baselines: Mapping[str, str]

    @property
    def panels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.panel for row in self.rows))

    def of(self, panel: str) -> tuple[StudiedRow, ...]:
        return tuple(row for row in self.rows if row.panel == panel)


def studied(folder: Path, baseline: str | None = None) -> Studied:
    """The rows of a study, or of any folder that holds runs, as its table counts them.

    Raises UserError for a folder without a finished run and for a baseline that is no row.
    """
    study = read_study(folder)
    study = replace(study, rows=one_per_training(study.rows))
    runs, panel_of, panels, _ = compared(study, baseline)
    starts = shared_starts(study.rows)
    rows = tuple(
        StudiedRow(
            one.row.name,
            one.row.title,
            panel_of[one.row.name],
            starts.get(one.row.name),
            one.finished,
            tuple(failed_seeds(one)),
        )
        for one in runs
        if one.finished
    )
    if not rows:
        raise UserError(f"{folder} holds no finished run\nrun the study first: levelfield study run")
    return Studied(folder, rows, {panel: found.baseline for panel, found in panels.items() if found.baseline})


def identity_of(run: Measured) -> str | None:
    """The identity of a run that levelfield trained; None of somebody else's predictions."""
    return None if run.folder is None else run.folder.identity


def whose(found: Studied) -> dict[str, list[str | None]]:
    """The identities of each row's runs: what an analysis was made of, so that a page can tell that more have come."""
    return {row.name: [identity_of(run) for run in row.runs] for row in found.rows}


def made_of(found: Studied) -> dict[str, Any]:
    """What an answer was computed from and by, so that it is known when another would be due: the digest of every run's
    result by row, and what of that which analyses read is `here`."""
    return {
        "levelfield": version("levelfield"),
        "results": {row.name: [run.digest for run in row.runs] for row in found.rows},
        "here": [name for name, is_here in _readable(found) if is_here],
    }


def is_still(found: Studied, before: Any) -> bool:
    """Whether an answer that was `made_of` so much would be made of the same now. What has gone since changes nothing;
    what has come may."""
    now = made_of(found)
    if not isinstance(before, dict) or any(before.get(key) != now[key] for key in ("levelfield", "results")):
        return False
    return set(now["here"]) <= set(before.get("here") or ())


def _readable(found: Studied) -> Iterator[tuple[str, bool]]:
    """What an analysis would say is not here, by name."""
    yield "cleanlab", find_spec("cleanlab") is not None
    yield "pytorch-grad-cam", find_spec("pytorch_grad_cam") is not None
    costs = found.folder / COSTS
    if costs.is_file():
        yield f"{COSTS} {sha256(costs.read_bytes()).hexdigest()[:16]}", True
    for row in found.rows:
        for run in row.runs:
            name = f"{row.name}, seed {run.seed}"
            yield f"{name}: weights", run.folder is not None and run.folder.weights.is_file()
            yield f"{name}: predictions", run.has_predictions


def without_weights(row: StudiedRow) -> str:
    """Which of a row's runs cannot go through their network; "" where all can."""
    gone = [run.seed for run in row.runs if run.folder is None or not run.folder.weights.is_file()]
    return _of_seeds(row, gone, "weights")


def without_predictions(row: StudiedRow) -> str:
    """Which of a row's runs have no predictions; "" where all have."""
    return _of_seeds(row, [run.seed for run in row.runs if not run.has_predictions], "predictions")


def _of_seeds(row: StudiedRow, gone: Sequence[int], what: str) -> str:
    if len(gone) == len(row.runs):
        return f"its {what} are not here"
    return f"the {what} of seed {', '.join(map(str, gone))} are not here" if gone else ""


def differences(
    found: Studied,
    measures: Sequence[Measure],
    values: Mapping[str, Values],
    decide: Callable[..., Decisions] = holm,
) -> list[dict[str, Any]]:
    """Every row beside its panel's baseline in every measure, one family a panel, as JSON. `values`: by row; `decide`:
    the rule of a family, as of `compare_measures`."""
    result = []
    for panel, baseline in found.baselines.items():
        scores = {
            measure: {row.name: _scores(row, measure.key, values.get(row.name, {})) for row in found.of(panel)}
            for measure in measures
        }
        result += [{"panel": panel, **asdict(one)} for one in compare_measures(scores, baseline, decide=decide)]
    return result


def _scores(row: StudiedRow, key: str, values: Values) -> RowScores:
    known = {seed: value for seed, run in values.items() if (value := run.get(key)) is not None}
    return RowScores(known, None, row.start)
