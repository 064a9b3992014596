"""Where rows err: planted confusions, hard images and wrong labels are found, equal rows are not told apart."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from levelfield.analysis.confusion_clusters import clusters
from levelfield.analysis.errors import errors
from levelfield.analysis.hard_images import MISSING, label_candidates
from levelfield.analysis.predicted_panels import PanelPredictions, RowPredictions, predictions_of_panel
from levelfield.analysis.studied_rows import StudiedRow, studied
from levelfield.errors import UserError
from levelfield.page.page import page
from levelfield.page.thumbnails import images_in
from levelfield.runs import Predictions, RunFolder, write_json, write_predictions
from levelfield.tables import build_table, read_study
from needed import need
from synthetic_runs import CLASSES, spec_of, write_run

ROWS = {"resnet_mini": 4.5, "vit_mini": 4.5}
BAD = 17
"""A test image whose label is wrong: all networks say so."""


def rewritten(run: RunFolder, change: dict[int, int]) -> None:
    """Let the run take the images of `change` for other classes, and be sure of it."""
    found = run.predictions()
    assert found is not None
    p = found.probabilities.copy()
    for place, to in change.items():
        p[place] = 0.001
        p[place, to] = 0.991
    write_predictions(run.path / "predictions.parquet", Predictions(found.index, found.label, p))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """vit_mini takes every second frog for a truck; all take image 17, a horse by its label, for a ship."""
    for model, skill in ROWS.items():
        for seed in range(4):
            run = write_run(tmp_path / model / f"seed{seed}", spec_of(model, seed), skill)
            frogs = dict.fromkeys(range(6, 2000, 20), 9) if model == "vit_mini" else {}
            rewritten(run, {BAD: 8, **frogs})
    return tmp_path


def test_what_was_planted_is_found(study: Path) -> None:
    answer = errors(studied(study))
    panel = answer["panels"][0]
    worst = max(panel["confused"], key=lambda pair: pair["share"]["vit_mini"])
    assert (worst["label"], worst["predicted"]) == ("frog", "truck") and worst["share"]["vit_mini"] >= 50
    surest = answer["differences"][0]
    assert (surest["measure"], surest["row"], surest["verdict"]) == ("frog", "vit_mini", "worse")
    assert surest["high"] < -20 and answer["said"].startswith("Recall of classes beside the baseline: 1 of 10")
    runs = {row["row"]: row["runs"] for row in panel["rows"]}
    assert np.mean([run["recall"]["frog"] for run in runs["vit_mini"]]) < 50
    hard = panel["hardest"]["images"][0]
    assert hard["index"] == BAD and hard["votes"] == {"ship": 8} and hard["wrong"] == hard["networks"] == 8
    assert panel["clusters"]["groups"] == [["frog", "truck"]]
    json.dumps(answer, allow_nan=False)


def test_churn_of_other_rows_is_told_from_that_of_seeds_and_copies_are_not(study: Path) -> None:
    churn = errors(studied(study))["panels"][0]["churn"]
    base, other = churn["rows"]
    assert base["row"] == "resnet_mini" and base["beyond"] is None and base["seeds"]["low"] > 0
    assert other["beyond"]["verdict"] == "differs" and other["beyond"]["low"] > 2
    between = np.array(churn["between"])
    assert between[0, 1] == pytest.approx(between[1, 0]) and between[0, 1] > between[0, 0]
    for seed in range(4):  # another row of the same skill, whose images flip as the baseline's do
        spec = spec_of("vit_mini", seed + 10, recipe__optimizer__weight_decay=0.01)
        write_run(study / "same" / f"seed{seed}", spec, 4.5)
    _, third, other = errors(studied(study))["panels"][0]["churn"]["rows"]
    assert (third["row"], other["row"]) == ("vit_mini", "vit_mini (2)")  # in the order of their folders
    assert (other["beyond"]["verdict"], third["beyond"]["verdict"]) == ("differs", "undecided")


def test_groups_are_those_that_are_confused() -> None:
    shares = np.full((6, 6), 0.5)
    for a, b in ((0, 3), (1, 4)):
        shares[a, b] = shares[b, a] = 20.0
    np.fill_diagonal(shares, 0)
    found = clusters(shares, tuple("abcdef"))
    assert sorted(map(sorted, found["groups"])) == [["a", "d"], ["b", "e"]]
    assert sorted(found["order"]) == list("abcdef") and abs(found["order"].index("a") - found["order"].index("d")) == 1
    assert [merge["share"] for merge in found["merges"]] == pytest.approx([20, 20, 0.5, 0.5, 0.5])
    assert clusters(np.zeros((3, 3)), tuple("abc"))["groups"] == []
    assert clusters(np.zeros((1, 1)), ("a",))["groups"] == []


def of_one_network(probabilities: np.ndarray, label: np.ndarray) -> PanelPredictions:
    row = StudiedRow("one", "one", "", None, ())
    own = RowPredictions(row, (0,), probabilities.argmax(1)[None], np.zeros((1, len(label)), np.float32))
    names = tuple(map(str, range(probabilities.shape[1])))
    return PanelPredictions("", names, np.arange(len(label)), label, (own,), probabilities, {})


def test_doubtful_labels_are_those_of_confident_learning() -> None:
    """In a closed form: an image is counted where, of the classes whose probability reaches the mean that it has among
    images of that label, the most probable one is not its label (Northcutt et al. 2021, eq. 1)."""
    need("cleanlab")
    rng = np.random.default_rng(0)
    label = rng.integers(0, 5, 600)
    logits = rng.normal(0, 1, (600, 5))
    logits[np.arange(600), np.where(np.arange(600) < 20, (label + 1) % 5, label)] += 3
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = label_candidates(of_one_network(p, label))
    reached = p >= np.array([p[label == c, c].mean() for c in range(5)])
    likely = np.where(reached, p, -1).argmax(1)
    doubted = np.flatnonzero(reached.any(1) & (likely != label))
    ranked = doubted[np.argsort(p[doubted, label[doubted]])]
    assert found["count"] == len(doubted)
    assert [image["index"] for image in found["images"]] == ranked[:24].tolist()
    assert "held out, not cross-validated" in found["said"]
    assert sum(image["index"] < 20 for image in found["images"]) >= 12  # of the twenty that were planted


def test_no_fewer_than_no_image_and_no_more_than_all_are_taken_for_another_class(tmp_path: Path) -> None:
    """One seed of three takes all images for another class than its two fellows: its interval would leave 0 to 100."""
    for model in ROWS:
        for seed in range(3):
            run = write_run(tmp_path / model / f"seed{seed}", spec_of(model, seed), images=60)
            rewritten(run, dict.fromkeys(range(60), int(seed == 2)))
    for row in errors(studied(tmp_path))["panels"][0]["churn"]["rows"]:
        assert row["seeds"] == {"estimate": pytest.approx(200 / 3), "low": 0.0, "high": 100.0}


def test_of_one_image_no_label_is_in_doubt_and_it_is_said() -> None:
    need("cleanlab")
    found = label_candidates(of_one_network(np.array([[0.8, 0.2]]), np.array([1])))
    assert found["count"] is None and found["images"] == [] and "at least 2 classes" in found["said"]


def test_without_cleanlab_it_is_said_what_to_install(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    answer = errors(studied(study))
    assert answer["panels"][0]["label_candidates"] == {"said": MISSING, "count": None, "images": []}
    write(study, answer)
    assert "pip install &#x27;levelfield[labels]&#x27;" in page(build_table(read_study(study)))


def test_rows_of_other_images_are_left_out_and_said(study: Path) -> None:
    write_run(study / "few" / "seed0", spec_of("mobile_mini"), 4.0, images=500)
    (study / "vit_mini" / "seed0" / "predictions.parquet").unlink()
    found = studied(study)
    read = [predictions_of_panel(found, panel) for panel in found.panels]
    left = {name: why for each in read if not isinstance(each, str) for name, why in each.left_out.items()}
    assert left["vit_mini"] == "seed 0 has no predictions.parquet"
    for file in study.rglob("predictions.parquet"):
        file.unlink()
    with pytest.raises(UserError, match="no stored predictions"):
        errors(studied(study))


def write(study: Path, answer: dict[str, object]) -> None:
    (study / "analysis").mkdir(exist_ok=True)
    write_json(study / "analysis" / "errors.json", answer)


def test_the_page_shows_it_with_pictures_only_where_it_was_computed(study: Path) -> None:
    table = build_table(read_study(study))
    assert 'id="analysis-errors"' not in page(table)
    write(study, errors(studied(study)))
    html = page(table, lambda index: b"picture" if index == BAD else None)
    assert 'id="analysis-errors"' in html
    assert images_in(html)[BAD] == b"picture"
    assert "Churn: 1 of 1 rows differ from resnet_mini" in html
    assert [name for name in CLASSES if name in html] == list(CLASSES)
