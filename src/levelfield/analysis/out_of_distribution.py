"""Whether a finished run is less sure of the images of another data set than of its own test images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from levelfield.analysis.result_cache import ResultCache, asked_of
from levelfield.analysis.studied_rows import FOLDER
from levelfield.errors import UserError
from levelfield.evaluation.out_of_distribution import detection, highest_probability, negative_energy
from levelfield.tables.runs_of_row import Measured

SCORES: Final = {"msp": highest_probability, "energy": negative_energy}


def detections(
    study: Path, run: Measured, other: str, images: int | None, seed: int, device: str, data_dir: str | None
) -> dict[str, Any]:
    """`ood`: by score (msp, energy) the AUROC and FPR95 in percent of test images against those of the data set
    `other`, `images` of each drawn by `seed` (None: all); or, as a string, why not.

    Raises UserError for a data set that is not at hand.
    """
    if run.folder is None or not run.folder.weights.is_file():
        return {"ood": "its weights are not here"}
    from levelfield.analysis.network_of_run import NetworkOfRun, drawn

    network = NetworkOfRun(run.folder.path, device)
    opened = network.other_data(other, data_dir)
    cache = ResultCache(study / FOLDER, "ood")
    asked = asked_of(run, other=opened.checksum, images=images, seed=seed)
    if (known := cache.get(run.folder.identity, asked)) is not None:
        return known
    try:
        own, others = network.own_data(data_dir).test, opened.test
    except UserError as error:
        return {"ood": str(error).splitlines()[0]}
    logits = [network.logits_of(split, drawn(split, images, seed)) for split in (own, others)]
    if not all(np.isfinite(each).all() for each in logits):
        return {"ood": "its logits are not all numbers"}
    found: dict[str, Any] = {
        "ood": {
            name: {
                **asdict(detection(*(score(each) for each in logits))),
                "known": len(logits[0]),
                "other": len(logits[1]),
            }
            for name, score in SCORES.items()
        }
    }
    cache.put(run.folder.identity, asked, found)
    return found
