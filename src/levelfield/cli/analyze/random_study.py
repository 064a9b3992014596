"""`levelfield analyze rank` without a network: the ranks of random networks, as a table and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from levelfield.cli.ask_before_long_work import confirm_long_work
from levelfield.cli.output import console, messages, print_json, show_table
from levelfield.system.machine import usable_cores

if TYPE_CHECKING:
    from levelfield.analysis.feature_ranks.rank_study import Study
    from levelfield.analysis.feature_ranks.rank_study_plan import Point


def random_study(
    out: Path, networks: int, sweep: bool, changes: list[str], seed: int, workers: int | None, yes: bool, json: bool
) -> None:
    """Measure what the study in `out` lacks, draw its figures, and print its curves."""
    from levelfield.analysis.feature_ranks import rank_figure
    from levelfield.analysis.feature_ranks.random_networks import KINDS, Setting
    from levelfield.analysis.feature_ranks.rank_study import Study
    from levelfield.analysis.feature_ranks.rank_study_plan import MAIN, Group, Plan, sensitivity
    from levelfield.runs import FolderLock
    from levelfield.spec.overrides import apply

    setting = Setting.parse(apply(Setting().model_dump(), changes), "--set")
    groups = {MAIN: Group(setting=setting, networks=networks)}
    if sweep:
        groups |= sensitivity(setting, networks // 20)
    plan = Plan(groups=groups, seed=seed)
    with FolderLock(out):
        study = Study(out, plan)
        if study.pending():
            _measure(study, workers or usable_cores(), yes)
        title, tolerance = f"Rank of random networks, {networks} a point", setting.relative_tolerance
        figures = rank_figure.save(rank_figure.panels(study.rows, MAIN, title, tolerance), out / "rank")
        for kind in KINDS if len(study.plan.groups) > 1 else ():
            chart = rank_figure.sensitivity_panels(study.rows, kind, f"What the picture hangs on: {KINDS[kind]}")
            figures += rank_figure.save(chart, out / f"sensitivity-{kind}", scale=1.0)
    if json:
        derived = ("standard_error", "effective_standard_error")
        rows = [{**vars(row), **{key: getattr(row, key) for key in derived}} for row in study.rows]
        print_json("analyze rank", {"folder": str(out), "figures": [str(path) for path in figures], "rows": rows})
        return
    _print_curves(study)
    console.print(f"{out / 'rank.csv'}, figures: " + ", ".join(path.name for path in figures), soft_wrap=True)


def _measure(study: Study, workers: int, yes: bool) -> None:
    import torch

    from levelfield.analysis.feature_ranks.rank_study import expected_seconds
    from levelfield.progress import Progress
    from levelfield.training.environment import describe_environment

    torch.set_num_threads(1)
    pending = study.pending()
    messages.print(f"timing a few networks of each kind ({len(pending)} points to measure)", markup=False)
    expected = expected_seconds(study.plan, pending, workers)
    total = sum(expected.values())
    confirm_long_work(total, "the rank study", yes)
    environment = {**describe_environment(torch.device("cpu")), "workers": workers}
    with Progress() as progress:
        progress.start(total, "rank study")

        def done(point: Point) -> None:
            progress.advance(expected[point], point=f"{point.group}, {point.kind}, {point.ratio}")

        study.run(workers, environment, done)


def _print_curves(study: Study) -> None:
    from levelfield.analysis.feature_ranks.random_networks import KINDS
    from levelfield.analysis.feature_ranks.rank_study_plan import MAIN

    for kind, title in KINDS.items():
        rows = [row for row in study.rows if row.group == MAIN and row.kind == kind]
        ratios = sorted({row.ratio for row in rows})
        for measure, column in (("rank", "rank_over_d_out"), ("effective rank", "effective_rank_over_d_out")):
            lines, headings = [], [f"{ratio:g}" for ratio in ratios]
            for name in study.plan.nonlinearities:
                cells = {row.ratio: f"{getattr(row, column):.3f}" for row in rows if row.nonlinearity == name}
                lines.append((name, *(cells[ratio] for ratio in ratios)))
            show_table(("", *headings), lines, headings, title=f"{measure} / d_out by d_in / d_out, {title}")
