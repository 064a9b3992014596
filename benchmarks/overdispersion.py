"""Boil a corpus of real trainings down to what the table's decisions learn from it: how rows vary over seeds.

    levelfield study run benchmarks/overdispersion.yaml --out runs/overdispersion        # hours, resumes
    python benchmarks/overdispersion.py runs/overdispersion [...] --out benchmarks/overdispersion.json [--fit]

For every row: the scores of its runs, and on how many test images each two of them disagree, from which the flips of
any of its runs follow. `--fit` also writes the prior of the overdispersion into the package
(src/levelfield/statistics/overdispersion.json), by maximum likelihood over the rows.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import norm

from levelfield.runs import RunFolder
from levelfield.statistics.variance import grid

PRIOR: Final = Path(__file__).parents[1] / "src" / "levelfield" / "statistics" / "overdispersion.json"
IMAGES: Final = 10_000
WIDER: Final = 2**0.5
"""How much further the mean of a table's rows may lie off than the corpus shows, as a table may be of another kind."""
SPREADS: Final = (0.15, 0.4, 1.0)
"""Spreads of one table's rows that are thought possible, as shares of that over the whole corpus."""
WEIGHTS: Final = (0.6, 0.3, 0.1)
WILD: Final = {"wild": (0.4, 1.65, 1.25, 0.65), "settings": (0.3, 2.0), "setting_weights": (0.13, 0.87), "above": 3.0}
"""How many rows a table may be far noisier than the others (`levelfield.statistics.variance.Prior`): found with
benchmarks/decisions.py, so that noisy rows, simulated and real, are not drawn to the others."""


def read_rows(folders: list[Path]) -> list[dict[str, Any]]:
    """All rows with at least three finished runs; runs of equal name and seed in several folders count once."""
    runs: dict[str, dict[int, RunFolder]] = defaultdict(dict)
    for folder in folders:
        for file in sorted(folder.glob("*/seed*/result.json")):
            run = RunFolder(file.parent)
            if run.finished:
                runs[file.parts[-3]].setdefault(run.spec().seed, run)
    return [
        _row(name, [by_seed[seed] for seed in sorted(by_seed)])
        for name, by_seed in sorted(runs.items())
        if len(by_seed) > 2
    ]


def _row(name: str, runs: list[RunFolder]) -> dict[str, Any]:
    right = np.stack([_right(run) for run in runs])
    spec = runs[0].spec()
    environment = runs[0].environment()
    return {
        "name": name,
        "set": f"{spec.data.name} at {spec.data.image_size} px",
        "model": spec.model.name,
        "images": right.shape[1],
        "seeds": [run.spec().seed for run in runs],
        "scores": [round(float(100 * one.mean()), 6) for one in right],
        "disagreements": [[int((one != other).sum()) for other in right] for one in right],
        "machine": environment["processor"],
        "torch": environment["packages"]["torch"],
    }


def _right(run: RunFolder) -> NDArray[np.bool_]:
    predictions = run.predictions()
    assert predictions is not None
    order = np.argsort(predictions.index)
    found: NDArray[np.bool_] = (predictions.probabilities.argmax(1) == predictions.label)[order]
    return found


def fit(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Mean and standard deviation of u = log(overdispersion - 1) over rows, at IMAGES test images."""
    u, likelihood = grid(max(len(row["scores"]) for row in rows)), []
    for row in rows:
        scores, n = np.array(row["scores"]), len(row["scores"])
        apart = np.array(row["disagreements"], dtype=np.float64)
        flips = 1e4 * apart.sum() / (n * (n - 1)) / 2 / row["images"] ** 2
        # At N images flips shrink, what is common does not: u at N is u at IMAGES less log(IMAGES / N).
        variance = flips * (1 + np.exp(u - np.log(IMAGES / row["images"])))
        log = -0.5 * ((n - 1) * np.log(variance) + ((scores - scores.mean()) ** 2).sum() / variance)
        likelihood.append(np.exp(log - log.max()))

    def loss(x: NDArray[np.float64]) -> float:
        density = norm.pdf(u, x[0], np.exp(x[1]))
        return -float(np.log(np.array(likelihood) @ (density / density.sum())).sum())

    found = minimize(loss, np.array([2.0, 0.3]), method="Nelder-Mead").x
    return float(found[0]), float(np.exp(found[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of the study overdispersion.yaml")
    parser.add_argument("--out", type=Path, required=True, help="the corpus as JSON")
    parser.add_argument("--fit", action="store_true", help="also write the prior into the package")
    options = parser.parse_args()
    rows = read_rows(options.folders)
    runs = sum(len(row["scores"]) for row in rows)
    content = json.dumps({"runs": runs, "rows": rows}, indent=None, separators=(",", ":"))
    options.out.write_text(content.replace('{"name"', '\n{"name"') + "\n", encoding="utf-8")
    mean, sd = fit(rows)
    print(f"{len(rows)} rows, {runs} runs: u = {mean:.2f} ± {sd:.2f} over rows, at {IMAGES:,} test images")
    if options.fit:
        prior = {
            "images": IMAGES,
            "mean": round(mean, 2),
            "mean_sd": round(WIDER * sd, 2),
            "spreads": [round(share * sd, 2) for share in SPREADS],
            "weights": list(WEIGHTS),
            **WILD,
        }
        said = f"benchmarks/overdispersion.py, from {len(rows)} rows and {runs} runs (benchmarks/overdispersion.json)"
        PRIOR.write_text(json.dumps({"from": said, "prior": prior}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
