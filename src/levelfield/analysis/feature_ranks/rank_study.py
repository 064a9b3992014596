"""The rank study: the measurement of its points, and a folder that survives being stopped at any moment.

A point is (group, kind, ratio): its random networks are measured under every non-linearity. Finished points are rows of
``rank.csv``, replaced whole after each point, so the same command goes on where it stopped. ``study.json`` says what
was asked; a folder made with another plan is refused, one that lacks only some groups is completed.
"""

from __future__ import annotations

import csv
import io
import json
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import torch

from levelfield.analysis.feature_ranks.random_networks import draw, features, input_width, sizes
from levelfield.analysis.feature_ranks.rank_measures import effective_rank, numerical_rank, singular_values
from levelfield.analysis.feature_ranks.rank_study_plan import MAIN, Plan, Point
from levelfield.errors import UserError
from levelfield.runs import write_json, write_text

BATCH: Final = 16
"""Networks of one width that are worked on at once: enough to amortise calls, small enough to stay in the cache."""


@dataclass(frozen=True)
class Row:
    """One point of one curve: means and standard deviations over `networks` random networks.

    `rank_over_d_out` counts the singular values above the setting's tolerance, `effective_rank_over_d_out` weighs them
    (`effective_rank`) and needs no tolerance. `ratio` is the nominal d_in / d_out, `mean_ratio` that after
    rounding d_in; `seconds` is the whole point's time.
    """

    group: str
    kind: str
    nonlinearity: str
    ratio: float
    networks: int
    mean_ratio: float
    rank_over_d_out: float
    standard_deviation: float
    effective_rank_over_d_out: float
    effective_standard_deviation: float
    seconds: float

    @property
    def standard_error(self) -> float:
        """Of `rank_over_d_out`."""
        return self.standard_deviation / math.sqrt(self.networks)

    @property
    def effective_standard_error(self) -> float:
        """Of `effective_rank_over_d_out`."""
        return self.effective_standard_deviation / math.sqrt(self.networks)


class StopRequested(Exception):  # noqa: N818 - a request, no fault
    """The study was asked to stop; finished points are kept."""


def measure(plan: Plan, point: Point, stop: threading.Event | None = None) -> list[Row]:
    """Measure one point: a row for each non-linearity. Raises StopRequested soon after `stop` is set."""
    began = time.monotonic()
    group = plan.groups[point.group]
    widths = sizes(group.setting, plan.seed, group.networks)
    shares: dict[str, list[float]] = defaultdict(list)
    effective: dict[str, list[float]] = defaultdict(list)
    for width in sorted(set(widths.tolist())):
        index = torch.nonzero(widths == width)[:, 0].tolist()
        for first in range(0, len(index), BATCH):
            if stop is not None and stop.is_set():
                raise StopRequested
            for name, values in _spectra(plan, point, width, index[first : first + BATCH]):
                shares[name] += (numerical_rank(values, group.setting.relative_tolerance) / width).tolist()
                effective[name] += (effective_rank(values) / width).tolist()
    mean_ratio = sum(input_width(point.ratio, width) / width for width in widths.tolist()) / group.networks
    seconds = time.monotonic() - began
    rows = []
    for name in plan.nonlinearities:
        rank, weighed = _mean_and_deviation(shares[name]), _mean_and_deviation(effective[name])
        rows.append(Row(*point[:2], name, point.ratio, group.networks, mean_ratio, *rank, *weighed, seconds))
    return rows


def _mean_and_deviation(values: list[float]) -> tuple[float, float]:
    deviation, mean = torch.std_mean(torch.tensor(values, dtype=torch.float64))
    return mean.item(), deviation.item()


def _spectra(plan: Plan, point: Point, width: int, index: list[int]) -> Iterable[tuple[str, torch.Tensor]]:
    """For each non-linearity the singular values of the networks' features, float64 (G, width)."""
    setting = plan.groups[point.group].setting
    networks = draw(point.kind, setting, plan.seed, point.ratio, width, index)
    for name, matrix in features(networks, setting, list(plan.nonlinearities)):
        yield name, singular_values(matrix)


def expected_seconds(plan: Plan, points: list[Point], workers: int) -> dict[Point, float]:
    """What each of `points` will take, from timing a few networks of typical width of every group and kind.

    Work grows as a + b · ratio² (b: the dense 3x3 convolution of a bottleneck), so two ratios are timed.
    """
    expected = {}
    for name, kind in dict.fromkeys((point.group, point.kind) for point in points):
        group = plan.groups[name]
        widths = sizes(group.setting, plan.seed, group.networks).to(torch.float64)
        typical = round(widths.square().mean().sqrt().item())
        low, high = (_seconds_a_network(plan, Point(name, kind, ratio), typical) for ratio in (0.1, 1.0))
        slope = max(0.0, high - low) / (1.0 - 0.1**2)
        for point in points:
            if (point.group, point.kind) == (name, kind):
                seconds = low + slope * (point.ratio**2 - 0.1**2)
                expected[point] = seconds * group.networks / workers
    return expected


def _seconds_a_network(plan: Plan, point: Point, width: int) -> float:
    count = BATCH // 2
    for _ in _spectra(plan, point, width, [0]):  # warm-up
        pass
    began = time.perf_counter()
    for _ in _spectra(plan, point, width, list(range(count))):
        pass
    return (time.perf_counter() - began) / count


class Study:
    """A study's folder: its plan, the rows measured so far, and the measuring of the rest."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        """Open or create `folder` for `plan`. Raises UserError if it holds a study with another plan."""
        self.folder = folder
        self.plan = plan
        self.rows = read_rows(folder / "rank.csv") if (folder / "rank.csv").exists() else []
        stored = read_plan(folder)
        if stored is not None:
            self.plan = _joined(stored, plan, folder)

    def pending(self) -> list[Point]:
        """The points of the plan that are not measured yet: the main group's first, then the cheap kinds'."""
        have = {Point(row.group, row.kind, row.ratio) for row in self.rows}
        left = [point for point in self.plan.points() if point not in have]
        return sorted(left, key=lambda point: (point.group != MAIN, point.kind == "ib_3x3"))

    def run(self, workers: int, environment: dict[str, object], done: Callable[[Point], None]) -> None:
        """Measure what is pending on `workers` threads, calling `done` after each point is on disk.

        An interrupt (or any error) stops the threads within a batch of networks and loses only unfinished points.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "study.json", {"plan": self.plan.model_dump(mode="json"), "environment": environment})
        stop = threading.Event()
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                waiting = {pool.submit(measure, self.plan, point, stop): point for point in self.pending()}
                while waiting:
                    finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in finished:
                        self.rows += future.result()
                        self.write()
                        done(waiting.pop(future))
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def write(self) -> None:
        """Replace rank.csv by the rows measured so far, in the plan's order."""
        order = {point: place for place, point in enumerate(self.plan.points())}
        rows = sorted(self.rows, key=lambda row: order[Point(row.group, row.kind, row.ratio)])
        write_text(self.folder / "rank.csv", to_csv(rows))


def _joined(stored: Plan, plan: Plan, folder: Path) -> Plan:
    """`stored` with the groups that only `plan` has; the two must agree in all else."""
    for name in ("seed", "ratios", "nonlinearities"):
        if getattr(stored, name) != getattr(plan, name):
            raise UserError(
                f"{folder} holds a rank study with {name} {getattr(stored, name)}, not {getattr(plan, name)}\n"
                "choose another --out, or remove that folder"
            )
    for name in stored.groups.keys() & plan.groups.keys():
        if stored.groups[name] != plan.groups[name]:
            raise UserError(
                f"{folder} holds a rank study with another setting of {name!r}:\n"
                f"{stored.groups[name]!r}\nchoose another --out, or remove that folder"
            )
    return stored.model_copy(update={"groups": {**stored.groups, **plan.groups}})


def read_plan(folder: Path) -> Plan | None:
    """The plan in a study's folder; None where there is none."""
    path = folder / "study.json"
    if not path.is_file():
        return None
    try:
        return Plan.parse(json.loads(path.read_text(encoding="utf-8"))["plan"], str(path))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); remove the folder and run the study again") from None


COLUMNS: Final = [field.name for field in fields(Row)]


def to_csv(rows: list[Row]) -> str:
    """The rows as CSV text with a header line."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        rounded = {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(row).items()}
        writer.writerow(rounded)
    return buffer.getvalue()


def read_rows(path: Path) -> list[Row]:
    """Read what `to_csv` wrote. Raises UserError for anything else."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != COLUMNS:
            raise UserError(
                f"{path} is no rank study, or one of an earlier version: its columns are {reader.fieldnames}, "
                f"not {COLUMNS}\nchoose another --out, or remove that folder"
            )
        try:
            return [_row(line) for line in reader]
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error}); remove the folder and run the study again") from None


def _row(line: dict[str, str]) -> Row:
    kinds: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}
    return Row(**{field.name: kinds[str(field.type)](line[field.name]) for field in fields(Row)})
