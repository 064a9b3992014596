"""What remains of a network when it is made smaller: accuracy against its costs, rung by rung.

A rung is the finished runs of one model that were made smaller in one way, all rungs of one setting; what starts from
another rung's weights may be trained for less and slower. Accuracy is the mean over its seeds with its interval, and
beside it what was gained or lost seed by seed against the runs whose weights it started from; parameters and MACs are
the runs' own counts; size is that of the stored weights; latency and, where a meter can be read, energy are measured
here, batch 1, on the CPU, each model in a process of its own. Exports of these runs are rungs too, with the size of
their files and the accuracy, latency and energy that were measured when they were made.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

import torch

from levelfield.analysis.exported_rungs import ExportedRung, exported_rungs
from levelfield.analysis.run_origins import origins
from levelfield.cost import Timing, measure_inference
from levelfield.cost.energy import energy_meter
from levelfield.cost.machine_at_rest import BUSY_PERCENT, busy_percent
from levelfield.errors import UserError
from levelfield.runs import RunFolder, find_runs
from levelfield.statistics import Estimate, seeds_interval
from levelfield.system.machine import processor_name
from levelfield.system.spawned import end_with_parent_process
from levelfield.tables.number_format import bounds
from levelfield.tables.read_folder import read_study
from levelfield.tables.rows import one_per_training
from levelfield.training.fake_quantisation import without_rounding
from levelfield.training.load_finished_run import load_run

CPU: Final = torch.device("cpu")


@dataclass(frozen=True)
class Rung:
    """One model of the ladder.

    `top1`: percent, one a seed. `family`: the part of the name before the first underscore, one line in the chart.
    `parent`: the rung whose weights it started from. `done`: what made it smaller. Parameters, MACs and `size_mib`
    (weights.safetensors): means over seeds, which may have lost different channels. `latency_ms`: the median of the
    first seed's, between the quartiles `latency_q1_ms`, `latency_q3_ms`, in the faster of two rounds; without the
    rounding of one trained to int8. Of exports: that of the seed whose time is the median.
    `change`: percentage points of top-1 that each run has more than the run whose weights it started from, or of which
    it is an export; empty of one that started fresh. `torch_latency_ms`: of an export, PyTorch's in the same turns;
    None of others. `joules_per_image`: of the processor in those timings, whatever ran on it; None without a meter.
    `busy_percent`: how much of the machine others used around these timings; None where that is not known. `threads`,
    `processor`: what they were taken with, where that is known. `runs`: of what runs it is made, by identity the digest
    of their weights.
    """

    model: str
    family: str
    parent: str | None
    done: str
    top1: tuple[float, ...]
    steps: int
    params_m: float
    macs_m: float
    size_mib: float
    latency_ms: float
    latency_q1_ms: float
    latency_q3_ms: float
    change: tuple[float, ...] = ()
    torch_latency_ms: float | None = None
    joules_per_image: float | None = None
    busy_percent: float | None = None
    threads: int | None = None
    processor: str | None = None
    runs: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        return fmean(self.top1)

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None for a single one."""
        return stdev(self.top1) if len(self.top1) > 1 else None

    @property
    def accuracy(self) -> Estimate:
        """Mean top-1 and its interval over seeds, cut at what percent can be."""
        return _cut(seeds_interval(self.top1), 0.0)

    @property
    def changed(self) -> Estimate | None:
        """Mean of `change` and its interval over seeds."""
        return _cut(seeds_interval(self.change), -100.0) if self.change else None

    @property
    def resting(self) -> bool:
        """Whether the machine is known to have rested while it was timed."""
        return self.busy_percent is not None and self.busy_percent <= BUSY_PERCENT

    def as_json(self) -> dict[str, Any]:
        """What compression.json has of it."""
        estimates = {"accuracy": self.accuracy, "changed": self.changed}
        return {
            **vars(self),
            "top1": list(self.top1),
            "change": list(self.change),
            "top1_mean": self.mean,
            "top1_std": self.deviation,
            "resting": self.resting,
            **{
                name: None if each is None else {"estimate": each.value, "low": each.low, "high": each.high}
                for name, each in estimates.items()
            },
        }


def rungs(folders: Sequence[Path], latency_seconds: float = 2.0) -> list[Rung]:
    """The ladder that the runs in `folders` (`ladder`) and their exports there make, measured, largest first.

    Each is timed twice, there and back, and the faster counts: what else a machine does only adds time, and the first
    network after a rest wakes it."""
    made = ladder(folders)
    exported = exported_rungs({model: each.runs for model, each in made.items()}, folders)
    looks = [busy_percent(CPU)]
    there = {model: _rung(model, each, latency_seconds) for model, each in made.items()}
    back = {model: _rung(model, each, latency_seconds) for model, each in reversed(made.items())}
    measured = [min(rung, back[model], key=lambda one: one.latency_ms) for model, rung in there.items()]
    looks.append(busy_percent(CPU))
    busy, threads, here = (
        max((look for look in looks if look is not None), default=None),
        torch.get_num_threads(),
        processor_name(),
    )
    found = [replace(rung, busy_percent=busy, threads=threads, processor=here) for rung in measured]
    found += [_rung_of_export(name, each) for name, each in exported.items()]
    return sorted(found, key=lambda rung: (-rung.params_m, -rung.size_mib))


@dataclass(frozen=True)
class Made:
    """The finished `runs` of a rung, the name of that whose weights they start from, what was `done` to these, and the
    runs of that, in the order of `runs`; none where they started fresh."""

    runs: list[RunFolder]
    parent: str | None
    done: str
    started_from: list[RunFolder]


def ladder(folders: Sequence[Path]) -> dict[str, Made]:
    """The finished runs of each rung: in a study's folder those that its table counts (no stale ones, none of a sweep),
    elsewhere all. Raises UserError where there is none, and where they differ in more than network and seed."""
    runs = {run.identity: run for folder in folders for run in _counted(folder) if run.finished}
    if not runs:
        raise UserError(
            f"no finished run in {', '.join(map(str, folders))}\n"
            "train the ladder first: levelfield study run compression-cifar10"
        )
    found = origins(list(runs.values()))
    groups: dict[str, list[RunFolder]] = defaultdict(list)
    for identity, run in runs.items():
        groups[found[identity].rung].append(run)
    names = dict(zip(groups, _names([group[0] for group in groups.values()]), strict=True))
    made = {}
    for rung, group in groups.items():
        origin = found[group[0].identity]
        parent = None if origin.parent is None else names[found[origin.parent.identity].rung]
        above = [run for run in (found[each.identity].parent for each in group) if run is not None]
        made[names[rung]] = Made(group, parent, origin.done, above)
    return made


def _names(runs: Sequence[RunFolder]) -> list[str]:
    """Names of rungs by a run of each: the model's, with the row's or the run's where several are of one model."""
    forms = []
    for run in runs:
        model = run.spec().model.name
        forms.append([model, *(f"{model} ({which})" for which in (run.path.parent.name, run.path.name, run.path))])
    columns = [Counter(column) for column in zip(*forms, strict=True)]
    return [next(name for name, counts in zip(form, columns, strict=True) if counts[name] == 1) for form in forms]


def _counted(folder: Path) -> list[RunFolder]:
    if not (folder / "study.json").is_file():
        return find_runs(folder)
    return [run for row in one_per_training(read_study(folder).rows) for run in row.runs]


def _rung(model: str, made: Made, seconds: float) -> Rung:
    runs = made.runs
    results = [run.result() or {} for run in runs]
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=end_with_parent_process) as process:
        timing, joules = process.submit(latency, runs[0].path, seconds).result()
    return Rung(
        model=model,
        family=model.split("_")[0],
        parent=made.parent,
        done=made.done,
        top1=tuple(result["top1"] for result in results),
        steps=min(result["steps"] for result in results),
        params_m=fmean(result["params"] for result in results) / 1e6,
        macs_m=fmean(result["macs"] for result in results) / 1e6,
        size_mib=fmean(run.weights.stat().st_size for run in runs) / 2**20,
        latency_ms=timing.ms_median,
        latency_q1_ms=timing.ms_q1,
        latency_q3_ms=timing.ms_q3,
        change=_change([result["top1"] for result in results], made.started_from),
        joules_per_image=joules,
        runs={run.identity: run.weights_digest() for run in runs},
    )


def _rung_of_export(name: str, export: ExportedRung) -> Rung:
    results, one, timed = [run.result() or {} for run in export.runs], export.latency(), export.timed()
    accuracies = [record["tested"]["top1"] for record in export.records]
    return Rung(
        model=name,
        family=export.parent.split("_")[0],
        parent=export.parent,
        done=export.done,
        top1=tuple(accuracies),
        steps=min(result["steps"] for result in results),
        params_m=fmean(result["params"] for result in results) / 1e6,
        macs_m=fmean(result["macs"] for result in results) / 1e6,
        size_mib=fmean(record["bytes"] for record in export.records) / 2**20,
        latency_ms=one["ms"],
        latency_q1_ms=one["ms_q1"],
        latency_q3_ms=one["ms_q3"],
        change=_change(accuracies, export.runs),
        torch_latency_ms=one["torch_ms"],
        joules_per_image=one.get("joules_per_image"),
        busy_percent=timed.get("busy_percent"),
        threads=timed.get("threads"),
        processor=(timed.get("environment") or {}).get("processor"),
        runs={run.identity: run.weights_digest() for run in export.runs},
    )


def _cut(found: Estimate, least: float) -> Estimate:
    low, high = bounds(found, least)
    return replace(found, low=low, high=high)


def _change(top1: Sequence[float], above: Sequence[RunFolder]) -> tuple[float, ...]:
    if not above:
        return ()
    return tuple(own - (run.result() or {})["top1"] for own, run in zip(top1, above, strict=True))


def latency(run: Path, seconds: float = 2.0) -> tuple[Timing, float | None]:
    """The time of one image after another through the network of the finished `run`, on the CPU, and the joules of one
    (None where the processor's meter cannot be read)."""
    loaded = load_run(run)
    assert loaded.spec.model.image_size is not None
    model, meter = without_rounding(loaded.model), energy_meter(CPU)
    before = meter.joules() if meter else 0.0
    timing = measure_inference(model, 1, loaded.spec.model.image_size, CPU, seconds=seconds)
    joules = (meter.joules() - before) / (timing.warmup + timing.repeats) if meter else None
    return timing, joules
