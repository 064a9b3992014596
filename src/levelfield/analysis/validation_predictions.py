"""What a finished run says of the images that it held out for validation, computed once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from levelfield.analysis.result_cache import ResultCache, asked_of
from levelfield.analysis.studied_rows import FOLDER
from levelfield.errors import UserError
from levelfield.runs import Predictions
from levelfield.tables.runs_of_row import Measured

BATCH: Final = 250


def validation_predictions(study: Path, run: Measured, device: str, data_dir: str | None) -> Predictions | str:
    """Predictions for the run's validation images, or why there are none: nothing was held out, or weights or data
    are not here."""
    if run.folder is None or run.spec is None:
        return "somebody else's predictions: no validation images of theirs are here"
    if not run.spec.data.validation:
        return "no validation images were held out (data.validation: 0)"
    cache, identity, asked = ResultCache(study / FOLDER, "validation"), run.folder.identity, asked_of(run)
    if (known := cache.predictions(identity, asked)) is not None:
        return known
    if not run.folder.weights.is_file():
        return "its weights are not here"
    from levelfield.training.device import choose_device, current_device  # torch, which a stored answer does without
    from levelfield.training.evaluate_finished_run import run_test
    from levelfield.training.load_finished_run import load_run

    target = choose_device(device)
    try:
        with current_device(target):
            tested = run_test(
                load_run(run.folder.path), split="validation", batch_size=BATCH, target=target, data_dir=data_dir,
                keep_predictions=True,
            )  # fmt: skip
    except UserError as error:
        return str(error).splitlines()[0]
    found = tested.evaluation.predictions
    assert found is not None
    cache.put_predictions(identity, asked, found)
    return found
