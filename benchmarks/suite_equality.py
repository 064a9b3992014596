"""Are the statistics of suites (`levelfield.statistics.suite`) those of autorank, rliable and scipy?

    pip install autorank rliable
    python benchmarks/suite_equality.py

On random tables of 3 and 6 models over 6 and 20 sets, with and without equal scores, of 3 to 7 runs a set: the largest
difference of average ranks, Friedman's p and Nemenyi's critical difference from autorank's, of the probability of
improvement and performance profiles from rliable's, and of Wilcoxon's p from scipy's (by which critdd, not run
here, builds its groups under Holm's procedure). Ends with code 1 where one is above 1e-9, but for
autorank's critical difference, whose quantile is statsmodels' approximation: beside it stands scipy's.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections import defaultdict
from contextlib import redirect_stdout
from importlib.metadata import version
from itertools import combinations

import numpy as np
import pandas as pd
from autorank import autorank
from rliable import library, metrics
from scipy import stats

from levelfield.statistics.suite import performance_profile, probability_of_improvement, ranking, wilcoxon

LIMIT = 1e-9
APPROXIMATE = "critical difference, autorank"
"""autorank takes its quantile from statsmodels' approximation (Gleason 1999), which is not exact; scipy's is."""
CASES = [(models, sets, digits) for models in (3, 6) for sets in (6, 20) for digits in (6, 0)]


def main() -> None:
    warnings.filterwarnings("ignore")
    off: dict[str, list[float]] = defaultdict(list)
    for models, sets, digits in CASES:
        random = np.random.default_rng(100 * models + sets)
        skill, seeds = random.normal(80, 2, (models, 1, 1)), int(random.integers(3, 8))
        scores = (skill + random.normal(0, 2, (models, sets, 1)) + random.normal(0, 0.5, (models, sets, seeds))).round(
            digits
        )
        runs = {f"m{number}": scores[number].tolist() for number in range(models)}
        found = ranking(runs)
        means = {name: [float(np.mean(of)) for of in each] for name, each in runs.items()}
        with redirect_stdout(io.StringIO()):
            theirs = autorank(pd.DataFrame(means), force_mode="nonparametric", order="descending")
        for name, rank in found.ranks.items():
            off["average rank, autorank"].append(abs(rank - theirs.rankdf.meanrank[name]))
        off["Friedman's p, autorank"].append(abs(found.friedman - theirs.pvalue))
        off[APPROXIMATE].append(abs(found.critical_difference - theirs.cd))
        exact = stats.studentized_range.ppf(0.95, models, np.inf) * (models * (models + 1) / (12 * sets)) ** 0.5
        off["critical difference, scipy"].append(abs(found.critical_difference - exact))
        by_task = {name: np.array(each).T for name, each in runs.items()}  # rliable: runs x tasks
        for a, b in combinations(runs, 2):
            own = probability_of_improvement(runs[a], runs[b])
            off["probability of improvement, rliable"].append(
                abs(own - metrics.probability_of_improvement(by_task[a], by_task[b]))
            )
            d = [x - y for x, y in zip(means[a], means[b], strict=True)]
            left = [value for value in d if value]
            untied = len({abs(value) for value in left}) == len(left)
            if left and (len(left) > 16 or untied):  # scipy's exact test has no equal differences
                method = "exact" if len(left) <= 16 else "approx"
                known = stats.wilcoxon(left, method=method, correction=False).pvalue
                off["Wilcoxon's p, scipy"].append(abs(wilcoxon(d) - known))
        levels = np.linspace(scores.min(), scores.max(), 21)
        for name, each in runs.items():
            profile = [library.run_score_deviation(by_task[name], level) for level in levels]
            own_profile = performance_profile(each, levels.tolist())
            off["performance profile, rliable"] += np.abs(np.subtract(profile, own_profile)).tolist()
    print(f"autorank {version('autorank')}, rliable {version('rliable')}, scipy {version('scipy')}\n")
    print("| | values | largest difference |\n|---|---|---|")
    for name, values in off.items():
        print(f"| {name} | {len(values):,} | {max(values):.1e} |")
    sys.exit(int(any(max(values) > LIMIT for name, values in off.items() if name != APPROXIMATE)))


if __name__ == "__main__":
    main()
