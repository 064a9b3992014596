"""A model card holds what its results hold, in the form that Hugging Face reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.spec import RunSpec, load_recipe
from levelfield.tables import build_table, read_study
from levelfield.tables.text.model_card import to_card
from levelfield.training import prepare, train_prepared

RESULTS = Path(__file__).parents[2] / "results" / "cpu"


@pytest.mark.parametrize("study", sorted(path.name for path in RESULTS.iterdir() if (path / "study.json").is_file()))
def test_the_card_of_a_study_says_what_its_table_says(study: str) -> None:
    table = build_table(read_study(RESULTS / study))
    text = to_card(table, "mit")
    card, head = ModelCard(text), yaml.safe_load(text.split("---\n")[1])
    assert card.data.license == head["license"] == "mit" and card.data.library_name == "levelfield"
    assert card.data.eval_results
    measured = {row.name: row for row in table.rows if row.top1 is not None}
    said = head["model-index"]
    assert {entry["name"] for entry in said} == set(measured)
    for entry in said:
        row = measured[entry["name"]]
        assert row.top1 is not None
        metrics = {metric["name"]: metric["value"] for metric in entry["results"][0]["metrics"]}
        seeds = "1 seed" if row.n == 1 else f"{row.n} seeds"
        assert metrics[f"top-1, %, mean of {seeds}"] == pytest.approx(row.top1.value, abs=1e-4)
    for part in ("Results", "Data", "Training", "Use", "Environment", "How to repeat it", "Limits"):
        assert f"## {part}\n" in card.text
    assert table.audit.verdict in card.text


def test_the_card_of_a_run_names_network_data_and_what_is_missing(tmp_path: Path) -> None:
    values = {
        "model": {"name": "maxvit_nano_s1"},
        "data": {"name": "digits", "image_size": 32, "train_limit": 8, "test_limit": 10},
        "recipe": load_recipe("digits-fast").recipe,
        "budget": {"steps": 1},
    }
    train_prepared(prepare(RunSpec.parse(values, "run")), tmp_path / "run")
    written = CliRunner().invoke(app, ["card", str(tmp_path / "run"), "--out", str(tmp_path / "README.md")])
    assert written.exit_code == 0, written.output
    card = ModelCard((tmp_path / "README.md").read_text(encoding="utf-8"))
    assert card.text.lstrip().startswith("# maxvit_nano_s1 on digits")
    assert "fewer than three seeds" in card.text and "No licence was stated" in card.text
    assert "its attention does nothing at 32 px" in card.text and "1 step" in card.text
    assert card.data.license is None and card.data.datasets == ["digits"]


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["card", str(tmp_path)]).exit_code != 0
