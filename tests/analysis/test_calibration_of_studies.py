"""Calibration of a study's rows: what is said without validation images, what is fitted with them, what is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from levelfield.analysis.calibration import calibration, of_predictions
from levelfield.analysis.result_cache import ResultCache, asked_of
from levelfield.analysis.studied_rows import studied
from levelfield.analysis.validation_predictions import validation_predictions
from levelfield.errors import UserError
from levelfield.evaluation.temperature import fit_temperature
from levelfield.page.page import page
from levelfield.runs import Predictions, write_json
from levelfield.spec import RunSpec
from levelfield.tables import build_table, read_study
from levelfield.training import train
from synthetic_runs import spec_of, write_run, write_two_models


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_two_models(tmp_path)


def test_measures_of_every_run_and_one_family_of_verdicts(study: Path) -> None:
    found = studied(study)
    answer = calibration(found)
    assert [len(row["runs"]) for row in answer["rows"]] == [3, 3]
    one = answer["rows"][0]["runs"][0]
    assert one["ece"] == pytest.approx(found.rows[0].runs[0].result["ece"], abs=1e-3)
    assert one["brier"] == pytest.approx(found.rows[0].runs[0].result["brier"], abs=1e-5)
    assert one["nll"] == pytest.approx(found.rows[0].runs[0].result["loss"], abs=1e-5)
    assert {(d["measure"], d["row"]) for d in answer["differences"]} == {
        (measure["key"], "vit_mini") for measure in answer["measures"]
    }
    assert next(d for d in answer["differences"] if d["measure"] == "aurc")["verdict"] == "worse"
    assert one["validation"] == "its weights are not here" and one["temperature"] is None and one["conformal"] == []


def test_validation_images_and_they_alone_choose_the_temperature(study: Path) -> None:
    """Sharper probabilities are put in as what the run said of its validation images; its test images are not asked."""
    found = studied(study)
    run = found.rows[0].runs[0]
    test = run.predictions()
    assert test is not None and run.folder is not None
    sharper = test.probabilities.astype(np.float64) ** 2
    held = Predictions(test.index, test.label, (sharper / sharper.sum(1, keepdims=True)).astype(np.float32))
    ResultCache(study / "analysis", "validation").put_predictions(run.folder.identity, asked_of(run), held)
    one = calibration(found)["rows"][0]["runs"][0]
    assert one["temperature"] == pytest.approx(fit_temperature(held.probabilities, held.label), rel=1e-6)
    assert one["temperature"] == pytest.approx(2 * fit_temperature(test.probabilities, test.label), rel=0.02)
    assert [sets["held_out"] for sets in one["conformal"]] == [2000, 2000]
    assert "temperature" not in of_predictions(test)


def test_the_page_shows_it_where_it_was_computed_and_says_when_runs_have_come(study: Path) -> None:
    assert 'id="analysis-calibration"' not in page(build_table(read_study(study)))
    answer = calibration(studied(study))
    (study / "analysis").mkdir(exist_ok=True)
    write_json(study / "analysis" / "calibration.json", answer)
    html = page(build_table(read_study(study)))
    assert 'id="analysis-calibration"' in html and "its weights are not here" in html
    assert "which are not the runs of this table" not in html
    write_run(study / "vit_mini" / "seed3", spec_of("vit_mini", 3), 2.0)
    assert "Computed of 6 runs, which are not the runs of this table" in page(build_table(read_study(study)))
    (study / "analysis" / "calibration.json").write_text("{}")
    with pytest.raises(UserError, match="run levelfield analyze again"):
        page(build_table(read_study(study)))


def test_held_out_images_of_a_real_run_are_predicted_once_and_kept(tmp_path: Path) -> None:
    spec = RunSpec.parse({
        "model": {"name": "resnet_nano", "image_size": 16}, "data": {"name": "digits", "image_size": 16,
        }, "recipe": {"name": "digits-fast", "validation": 0.1}, "budget": {"steps": 2},
    })  # fmt: skip
    train(spec, tmp_path / "run")
    run = studied(tmp_path).rows[0].runs[0]
    first = validation_predictions(tmp_path, run, "cpu", None)
    assert isinstance(first, Predictions) and len(first.label) == round(0.1 * 1348)
    assert run.folder is not None
    run.folder.weights.unlink()
    again = validation_predictions(tmp_path, run, "cpu", None)
    assert isinstance(again, Predictions) and np.array_equal(first.probabilities, again.probabilities)
