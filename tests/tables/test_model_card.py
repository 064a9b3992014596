"""A model card holds what its results hold, in the form that Hugging Face reads."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.runs import RunFolder, write_json
from levelfield.spec import Distil, Prune, QuantizeAware, RunSpec, StartFrom, load_recipe
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
    assert table.audit.verdict in card.text and "The page and" not in card.text
    for finding in table.audit.findings:
        assert (finding.text in card.text) == (finding.severity != "passed"), finding


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


FIGURES = {
    "result.json": ("top1", "top5", "f1_macro", "params", "macs", "train_seconds"),
    "environment.json": ("processor", "threads", "python", "os", "git_commit"),
    "run.json": ("classes", "mean"),
}
"""Of a run's files what a card has a figure of; `mean` stands for what it has none of."""


def perturbed(value: object) -> object:
    if isinstance(value, list):
        return [*value, *value[:1]]
    if isinstance(value, str):
        return "0f" + value[2:] + "9"
    assert isinstance(value, (int, float))
    return type(value)(value * 0.9) if value > 1 else value + 0.07


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = {
        "model": {"name": "resnet_nano"},
        "data": {"name": "digits", "image_size": 16, "train_limit": 80, "test_limit": 100},
        "recipe": load_recipe("digits-fast").recipe,
        "budget": {"steps": 3},
    }
    folder = tmp_path_factory.mktemp("card") / "run"
    train_prepared(prepare(RunSpec.parse(values, "run")), folder)
    result = json.loads((folder / "result.json").read_text())
    write_json(folder / "result.json", {**result, "train_seconds": 7461.0})
    environment = {"processor": "Example 9000", "threads": 20, "git_commit": "ab" * 20}
    write_json(folder / "environment.json", {**json.loads((folder / "environment.json").read_text()), **environment})
    return folder


def card_with(trained: Path, folder: Path, changes: Sequence[tuple[str, str]]) -> list[str]:
    """The lines of the card where these keys of these files have another value."""
    run = folder / "run"
    shutil.copytree(trained, run)
    for file, key in changes:
        content = json.loads((run / file).read_text())
        write_json(run / file, {**content, key: perturbed(content[key])})
    lines = to_card(build_table(read_study(run)), "mit").splitlines()
    shutil.rmtree(run)
    return lines


def test_every_figure_of_a_card_changes_with_the_result_that_it_is_of(trained: Path, tmp_path: Path) -> None:
    before = card_with(trained, tmp_path, [])
    for file, keys in FIGURES.items():
        for key in keys:
            after = card_with(trained, tmp_path, [(file, key)])
            assert (after != before) == (key != "mean"), f"{key} of {file}"


def test_no_figure_of_results_training_and_environment_stays_when_all_they_rest_on_changes(
    trained: Path, tmp_path: Path
) -> None:
    everything = [(file, key) for file, keys in FIGURES.items() if file != "run.json" for key in keys]
    before, after = (card_with(trained, tmp_path, changes) for changes in ([], everything))
    looked = []
    for begin, end in (("model-index:", "---"), ("## Training", "## Use"), ("## Environment", "## How to repeat it")):
        old, new = (lines[lines.index(begin) : lines.index(end, lines.index(begin))] for lines in (before, after))
        looked += [
            (one, other)
            for one, other in zip(old, new, strict=True)
            if re.search(r"value: |`resnet_nano` \||^- (?!name)", one)
        ]
    assert len(looked) >= 5 and all(one != other for one, other in looked), looked
    training = next(line for line in before if line.startswith("| run |") or "`resnet_nano` |" in line)
    changed = next(line for line in after if "`resnet_nano` |" in line)
    declared = {"`resnet_nano`", "`digits-fast`", "3 steps", "0"}  # what was asked for, no result
    cells = [(a, b) for a, b in zip(training.split(" | "), changed.split(" | "), strict=True) if re.search(r"\d", a)]
    assert {a for a, b in cells if a == b} <= declared | {"fp32", "bf16", "fp16"}
    assert {a for a, b in cells if a != b} >= {cell for cell in training.split(" | ") if re.search(r"\d [kM]$", cell)}


def test_a_card_says_what_the_name_of_a_recipe_does_not(trained: Path, tmp_path: Path) -> None:
    spec, parent = RunFolder(trained).spec(), RunFolder(trained)
    taught = {
        "recipe.distil": Distil(teacher=str(trained), weight=0.3),
        "recipe.prune": Prune(share=0.25),
        "recipe.quantize_aware": QuantizeAware(),
    }
    begun = {"model.start_from": StartFrom(source=str(trained))}
    result = train_prepared(prepare(spec.changed({**taught, **begun, "seed": 1})), tmp_path / "run").result
    made = RunFolder(tmp_path / "run").spec()
    assert made.model.start_from is not None
    (line,) = [line for line in card_with(tmp_path / "run", tmp_path / "copy", []) if ", seed 1: starts from" in line]
    assert f"content `{str(made.model.start_from.digest)[:16]}`" in line and str(trained) not in line
    assert f"taught by the run `{parent.identity[:16]}` (soft, at temperature 4, weight 0.3 of the loss)" in line
    assert f"pruned: {result['pruned_params']:,} of its {result['params']:,} parameters are zero" in line
    assert f"trained to compute in int8: {result['quantized_layers']} layers round" in line
    assert not [line for line in card_with(trained, tmp_path / "plain", []) if "starts from trained weights" in line]


def test_a_card_names_no_place_of_the_machine_that_it_was_written_on(trained: Path, tmp_path: Path) -> None:
    run = json.loads((trained / "run.json").read_text())
    shutil.copytree(trained, tmp_path / "run")
    run["run"]["execution"]["data_dir"] = "/home/me/my data"
    write_json(tmp_path / "run" / "run.json", run)
    text = to_card(build_table(read_study(tmp_path / "run")))
    assert re.search(r"^levelfield train --config \S+\.json --out runs/", text, re.MULTILINE) and "/home/me" not in text


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["card", str(tmp_path)]).exit_code != 0


def test_a_card_says_that_channels_are_gone(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    described = RunFolder(trained).description()
    described["run"]["model"]["channels"] = {"stem.0": {"outputs": 20}, "stem.1": {"outputs": 20}}
    for share, said in ((None, "2 layers."), (0.3, "2 layers, by which at least 30 % of the parameters it starts")):
        described["run"]["recipe"]["prune_channels"] = share and {"share": share, "of": "params"}
        write_json(tmp_path / "run" / "run.json", described)
        card = to_card(build_table(read_study(tmp_path / "run")))
        assert f"has fewer channels than its network in {said}" in card
