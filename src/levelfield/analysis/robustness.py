"""How a study's rows bear corrupted images: every network on every corruption at every severity, computed once a run.

The images are corrupted once for all runs that see the same ones; what a run scores is kept by corruption, so that
an interrupted analysis goes on. Frost needs photographs: without them the mean corruption error is over fourteen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from levelfield.analysis.corruptions.corrupt import SEVERITIES
from levelfield.analysis.corruptions.frost import read_photographs
from levelfield.analysis.corruptions.severities import COMMON, EXTRA, FROST
from levelfield.analysis.result_cache import ResultCache
from levelfield.analysis.studied_rows import (
    FOLDER,
    Studied,
    StudiedRow,
    differences,
    identity_of,
    made_of,
    whose,
    without_weights,
)
from levelfield.errors import UserError
from levelfield.statistics.measures import Measure
from levelfield.tables.runs_of_row import Measured
from levelfield.tables.text.robustness import NOT_COMPARED

KINDS: Final = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
MEASURES: Final = (
    Measure("corrupted", "corrupted top-1 %", True),
    *(Measure(kind, f"{kind} top-1 %", True) for kind in KINDS),
)
"""What is compared: one family over all of them."""
CLEAN: Final = "clean"
Scores = Mapping[str, Sequence[float]]
"""Of one run: top-1 in percent by corruption, at each severity; of `CLEAN` and of whole sets one number."""
See = Callable[[str, int, int], None]


def robustness(
    found: Studied, *, images: int | None = None, seed: int = 0, device: str = "auto", data_dir: str | None = None,
    folders: Sequence[Path] = (), frost: Path | None = None, see: See = lambda what, done, total: None,
) -> dict[str, Any]:  # fmt: skip
    """What robustness.json holds: `rows` with the scores of every run, `differences` to the baselines, `left_out`: of
    what rows are left out, and why; `runs`. Rows are compared where they see the same images: the corruptions of larger
    ones are of another strength.

    `images` of the test images, drawn by `seed`, which also makes the corruptions (None: all). `folders`: CIFAR-10.1 or
    CIFAR-C folders, which are read, too. `frost`: the folder of its photographs; None leaves it out. Raises UserError
    where no run has weights, or a photograph is missing.
    """
    from levelfield.analysis.corrupted_folders import folders_for
    from levelfield.analysis.scores_under_corruption import scores_of_runs

    together: dict[str, list[Measured]] = {}
    for row in found.rows:
        for run in row.runs:
            if run.folder is not None and run.folder.weights.is_file():
                together.setdefault(seen_images(run), []).append(run)
    if not together:
        raise UserError(f"no run in {found.folder} has its weights\ncorrupted images have to go through the networks")
    photographs = read_photographs(frost) if frost else None
    data = [runs[0].spec.data for runs in together.values() if runs[0].spec is not None]
    asked = {"images": images, "seed": seed}
    scores: dict[str, dict[str, Sequence[float]]] = {}
    seen: dict[str, dict[str, int]] = {}
    failed: dict[str | None, str] = {}
    for place, (runs, own_data) in enumerate(zip(together.values(), data, strict=True)):
        own_folders = folders_for(own_data, folders, data)
        cache = ResultCache(found.folder / FOLDER, "robustness")
        try:
            own, images_seen = scores_of_runs(
                runs, cache, asked, device, data_dir, own_folders, photographs, _as_part(see, place, len(together))
            )
        except UserError as error:
            if runs is list(together.values())[-1] and not scores:
                raise
            failed |= {identity_of(run): str(error).splitlines()[0] for run in runs}
            continue
        scores |= own
        seen |= dict.fromkeys(own, images_seen)
    apart = {row.name: _apart(row, found) for row in found.rows}
    rows = [_row(row, found, scores, seen, not apart[row.name]) for row in found.rows]
    values = {row["row"]: {run["seed"]: run for run in row["runs"]} for row in rows if not apart[row["row"]]}
    return {
        "baselines": dict(found.baselines),
        "images": images,
        "seed": seed,
        "side_px": sorted({one["side_px"] for one in seen.values()}),
        "corruptions": {"common": [n for n in COMMON if photographs or n != FROST], "extra": list(EXTRA)},
        "frost_sha256": photographs.sha256 if photographs else None,
        "measures": [asdict(measure) for measure in MEASURES],
        "rows": rows,
        "left_out": {row.name: said for row in found.rows if (said := _lacks(row, failed, apart[row.name], scores))},
        "differences": differences(found, MEASURES, values),
        "runs": whose(found),
        "made_of": made_of(found),
    }


def _as_part(see: See, place: int, parts: int) -> See:
    """`see` told of one of `parts` equal pieces of work as of a part of the whole."""
    return lambda what, done, total: see(what, place * total + done, parts * total)


def seen_images(run: Measured) -> str:
    """What runs that see the same test images have in common."""
    assert run.spec is not None
    data = run.spec.data
    keys = ("name", "image_size", "resize_px", "fit", "interpolation", "test_limit", "checksum")
    cut = data.split_seed if data.test_limit else None
    return json.dumps([[getattr(data, key) for key in keys], cut, run.spec.model.image_size], default=str)


def _lacks(row: StudiedRow, failed: Mapping[str | None, str], apart: str, scores: Mapping[str, Scores]) -> str:
    """What a row lacks, in words: weights, data, and where it has scores a baseline that it is comparable to."""
    why = dict.fromkeys(failed[identity] for run in row.runs if (identity := identity_of(run)) in failed)
    scored = any(_own(run, scores) is not None for run in row.runs)
    return "; ".join(said for said in (without_weights(row), *why, apart if scored else "") if said)


def _apart(row: StudiedRow, found: Studied) -> str:
    """Why a row is not compared with its baseline, whose test images it sees otherwise; "" where it is."""
    baseline = _baseline(row, found)
    if baseline is None:
        return ""
    own, other = ([run for run in one.runs if run.spec is not None] for one in (row, baseline))
    if not own or not other or seen_images(own[0]) == seen_images(other[0]):
        return ""
    sizes = [run.spec.model.image_size for run in (own[0], other[0]) if run.spec is not None]
    others = "images that are others, or fitted otherwise,"
    how = f"images of {sizes[0]} px, not {sizes[1]} px," if sizes[0] != sizes[1] else others
    return f"{NOT_COMPARED} {baseline.name}: {how} are corrupted otherwise"


def _baseline(row: StudiedRow, found: Studied) -> StudiedRow | None:
    return next((one for one in found.rows if one.name == found.baselines.get(row.panel)), None)


def _row(
    row: StudiedRow, found: Studied, scores: Mapping[str, Scores], seen: Mapping[str, Mapping[str, int]], compared: bool
) -> dict[str, Any]:
    baseline = _baseline(row, found) if compared else None
    reference = [own for one in (baseline.runs if baseline else ()) if (own := _own(one, scores)) is not None]
    runs = []
    for run in row.runs:
        own = _own(run, scores)
        if own is not None:
            identity = identity_of(run)
            runs.append({"seed": run.seed, "identity": identity, **seen[identity or ""], **summary(own, reference)})
    return {"row": row.name, "title": row.title, "panel": row.panel, "runs": runs}


def _own(run: Measured, scores: Mapping[str, Scores]) -> Scores | None:
    return scores.get(identity_of(run) or "")


def summary(own: Scores, baseline: Sequence[Scores]) -> dict[str, Any]:
    """One run's `scores`; the mean top-1 over the fifteen corruptions (fourteen where frost is not among its own) and
    five severities, and over those of each kind; `mce` and `relative_mce` against the mean of the `baseline`'s runs, in
    percent (arXiv 1903.12261, section 4), None where that makes no error."""

    def mean(names: Sequence[str]) -> float:
        return fmean(score for name in names if name in own for score in own[name])

    return {
        "top1": own[CLEAN][0],
        "corrupted": mean(COMMON),
        **{kind: mean(names) for kind, names in KINDS.items()},
        "extra": mean(EXTRA),
        "mce": corruption_error(own, baseline),
        "relative_mce": corruption_error(own, baseline, relative=True),
        "scores": {name: list(own[name]) for name in (*COMMON, *EXTRA) if name in own},
        "by_severity": [fmean(own[n][place] for n in COMMON if n in own) for place in range(len(SEVERITIES))],
        "sets": {name: list(values) for name, values in own.items() if name not in (CLEAN, *COMMON, *EXTRA)},
    }


def corruption_error(own: Scores, baseline: Sequence[Scores], relative: bool = False) -> float | None:
    """The mean over corruptions of the run's error, summed over severities, over the baseline's; with `relative` of
    what it adds to the clean error."""

    def error(scores: Scores, name: str) -> float:
        clean = 100 - scores[CLEAN][0] if relative else 0.0
        return sum(100 - score - clean for score in scores[name])

    ratios = []
    for name in (name for name in COMMON if name in own):
        reference = fmean(error(one, name) for one in baseline) if baseline else 0.0
        if reference <= 0:
            return None
        ratios.append(error(own, name) / reference)
    return 100 * fmean(ratios)
