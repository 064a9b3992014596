"""What remains of a network when it is made smaller: accuracy against four costs, rung by rung.

A rung is the finished runs of one model, all rungs of one setting. Accuracy is the mean over its seeds with their
spread; parameters and MACs are the runs' own counts; size is that of the stored weights; latency is measured here,
batch 1, on the CPU, each model in a process of its own.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

from levelfield.cost import Timing, measure_inference
from levelfield.errors import UserError
from levelfield.runs import RunFolder, find_runs
from levelfield.spec import RunSpec, covers
from levelfield.system.spawned import end_with_parent_process
from levelfield.tables.differing_settings import flat_words
from levelfield.tables.read_folder import read_study
from levelfield.tables.rows import one_per_training
from levelfield.training.load_finished_run import load_run

COSTS: Final = {
    "params_m": "parameters (millions)",
    "macs_m": "multiply-accumulates (millions)",
    "size_mib": "size on disk (MiB)",
    "latency_ms": "CPU latency, batch 1 (ms)",
}


@dataclass(frozen=True)
class Rung:
    """One model of the ladder.

    `top1`: percent, one a seed. `family`: the part of the name before the first underscore, one line in the chart.
    `size_mib`: weights.safetensors. `latency_ms`: the median, between the quartiles `latency_q1_ms`, `latency_q3_ms`.
    """

    model: str
    family: str
    top1: tuple[float, ...]
    steps: int
    params_m: float
    macs_m: float
    size_mib: float
    latency_ms: float
    latency_q1_ms: float
    latency_q3_ms: float

    @property
    def mean(self) -> float:
        return fmean(self.top1)

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None for a single one."""
        return stdev(self.top1) if len(self.top1) > 1 else None


def rungs(folders: Sequence[Path], latency_seconds: float = 2.0) -> list[Rung]:
    """The ladder that the runs in `folders` make (`ladder`), measured, largest first."""
    found = (_rung(model, runs, latency_seconds) for model, runs in ladder(folders).items())
    return sorted(found, key=lambda rung: -rung.params_m)


def ladder(folders: Sequence[Path]) -> dict[str, list[RunFolder]]:
    """The finished runs of each rung: in a study's folder those that its table counts (no stale ones, none of a sweep),
    elsewhere all. Raises UserError where there is none, and where they differ in anything but network and seed."""
    groups: dict[str, list[RunFolder]] = defaultdict(list)
    seen = set()
    for folder in folders:
        for run in _counted(folder):
            if run.finished and run.identity not in seen:
                seen.add(run.identity)
                model = run.spec().model
                groups[json.dumps((model.name, model.options), sort_keys=True)].append(run)
    if not groups:
        raise UserError(
            f"no finished run in {', '.join(map(str, folders))}\n"
            "train the ladder first: levelfield study run compression-rexnet --scale cpu"
        )
    _same_setting([run for runs in groups.values() for run in runs])
    models = Counter(runs[0].spec().model.name for runs in groups.values())
    return {_name(runs[0], models): runs for runs in groups.values()}


def _name(run: RunFolder, models: Counter[str]) -> str:
    """A rung's name: its model's, with its row's where several rungs are of one model."""
    model = run.spec().model.name
    return model if models[model] == 1 else f"{model} ({run.path.parent.name})"


def _counted(folder: Path) -> list[RunFolder]:
    if not (folder / "study.json").is_file():
        return find_runs(folder)
    return [run for row in one_per_training(read_study(folder).rows) for run in row.runs]


def _same_setting(runs: Sequence[RunFolder]) -> None:
    """Raise UserError unless the runs differ in nothing but network and seed."""
    first, reference = runs[0], _setting(runs[0].spec())
    for run in runs[1:]:
        setting = _setting(run.spec())
        different = [key for key in sorted({*reference, *setting}) if reference.get(key) != setting.get(key)]
        if different:
            said = ", ".join(f"{key} {reference.get(key)} and {setting.get(key)}" for key in different[:3])
            raise UserError(
                f"the runs of a ladder must differ in nothing but the network; {first.path} and {run.path} differ in: "
                f"{said}\nname the folder of one study, or leave the other runs out"
            )


def _setting(spec: RunSpec) -> dict[str, str]:
    """All that counts beside network and seed, by dotted key."""
    science = flat_words(spec.science())
    return {key: said for key, said in science.items() if not covers(("model.name", "model.options", "seed"), key)}


def _rung(model: str, runs: list[RunFolder], seconds: float) -> Rung:
    results = [run.result() or {} for run in runs]
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=end_with_parent_process) as process:
        timing = process.submit(latency, runs[0].path, seconds).result()
    return Rung(
        model=model,
        family=model.split("_")[0],
        top1=tuple(result["top1"] for result in results),
        steps=min(result["steps"] for result in results),
        params_m=results[0]["params"] / 1e6,
        macs_m=results[0]["macs"] / 1e6,
        size_mib=runs[0].weights.stat().st_size / 2**20,
        latency_ms=timing.ms_median,
        latency_q1_ms=timing.ms_q1,
        latency_q3_ms=timing.ms_q3,
    )


def latency(run: Path, seconds: float = 2.0) -> Timing:
    """Time one image at a time through the network of the finished `run`, on the CPU."""
    loaded = load_run(run)
    assert loaded.spec.model.image_size is not None
    return measure_inference(loaded.model, 1, loaded.spec.model.image_size, "cpu", seconds=seconds)


def chart(ladder: Sequence[Rung], title: str) -> Any:
    """Accuracy against each of the four costs (log scale), one panel a cost, one line a family, ± one deviation."""
    import altair as alt

    families = sorted({rung.family for rung in ladder}, key=lambda family: family != "rexnet")
    y = alt.Y("top1:Q", title="top-1 (%)", scale=alt.Scale(zero=False, padding=20))
    colour = alt.Color("family:N", scale=alt.Scale(domain=families))
    shape = alt.Shape("model:N", sort=None, scale=alt.Scale(domain=[rung.model for rung in ladder]))
    logarithmic, ticks = alt.Scale(type="log", nice=False, padding=25), alt.Axis(tickCount=5)
    panels = []
    for cost, label in COSTS.items():
        values = [
            {"cost": getattr(rung, cost), "top1": rung.mean, "low": rung.mean - (rung.deviation or 0.0),
             "high": rung.mean + (rung.deviation or 0.0), "family": rung.family, "model": rung.model}
            for rung in ladder
        ]  # fmt: skip
        x = alt.X("cost:Q", title=label, scale=logarithmic, axis=ticks)
        base = alt.Chart(alt.Data(values=values)).properties(width=300, height=220)
        panels.append(
            base.mark_line(opacity=0.5).encode(x=x, y=y, color=colour)
            + base.mark_rule().encode(x=x, y="low:Q", y2="high:Q", color=colour)
            + base.mark_point(filled=True, size=90, opacity=1.0).encode(x=x, y=y, color=colour, shape=shape)
        )
    return alt.concat(*panels, columns=2).properties(title=alt.TitleParams(title, anchor="middle"))
