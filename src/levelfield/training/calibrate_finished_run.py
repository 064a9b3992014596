"""The temperature of a finished run, fitted on its validation images and kept in its folder for predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from levelfield.evaluation.temperature import at_temperature, fit_temperature, negative_log_likelihood
from levelfield.runs import CALIBRATION, write_json
from levelfield.training.device import choose_device, current_device
from levelfield.training.evaluate_finished_run import run_test
from levelfield.training.load_finished_run import load_run


def calibrate(path: Path, *, batch_size: int = 64, device: str = "auto", data_dir: str | None = None) -> dict[str, Any]:
    """Fit a temperature on the validation images of the run in `path` and write it to its calibration.json.

    Never on test images: a number fitted there would be tested on what it was chosen by. Returns what is written:
    `temperature`, `split`, `n`, and the mean negative log-likelihood there before and after. Raises UserError for a run
    without validation images.
    """
    target = choose_device(device)
    with current_device(target):
        run = load_run(path)
        tested = run_test(
            run, split="validation", batch_size=batch_size, target=target, data_dir=data_dir, keep_predictions=True
        )
    found = tested.evaluation.predictions
    assert found is not None
    temperature = fit_temperature(found.probabilities, found.label)
    after = at_temperature(found.probabilities, temperature)
    content = {
        "temperature": temperature,
        "split": "validation",
        "n": len(found.label),
        "nll_before": negative_log_likelihood(found.probabilities, found.label),
        "nll_after": negative_log_likelihood(after, found.label),
    }
    write_json(run.folder.path / CALIBRATION, content)
    return content
