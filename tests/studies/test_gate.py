"""The gate: candidates trained or taken from folders, its ledger, its exit codes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.statistics.gate import level_of_candidate
from levelfield.studies.declared.study_file import is_study_row
from levelfield.studies.results.gate_ledger import Asked, Ledger, Outcome
from levelfield.studies.results.gate_sides import side_of_folder
from synthetic_runs import spec_of, write_run


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["gate", *map(str, arguments)])


def folder_of(root: Path, model: str, skill: float, seeds: int, **changes: Any) -> Path:
    for seed in range(seeds):
        write_run(root / model / f"seed{seed}", spec_of(model, seed, **changes), skill, images=1000)
    return root / model


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Finished rows: a baseline, one that is far better, one that is no better."""
    return (
        folder_of(tmp_path, "resnet_mini", 3.0, 5),
        folder_of(tmp_path, "outgrid_nano", 4.5, 5),
        folder_of(tmp_path, "convnext_mini", 3.0, 5),
    )


def test_finished_folders_are_looked_at_once_and_the_exit_code_is_the_answer(folders: tuple[Path, Path, Path]) -> None:
    base, better, equal = folders
    found = call(base, better, "--by", "+0.2", "--json")
    said = json.loads(found.stdout)
    assert found.exit_code == 0 and said["verdict"] == "better" and said["above"] > 0.2
    assert [look["seeds"] for look in said["looks"]] == [5] and said["level"] == said["looks"][0]["level"] == 0.05
    assert call(better, base).exit_code == 1
    assert call(base, equal).exit_code in (1, 3)
    assert "not better" in call(better, base).stdout


def test_a_ledger_spends_on_every_candidate_and_answers_the_same_again(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    base, better, equal = folders
    ledger = tmp_path / "ledger.jsonl"
    first = json.loads(call(base, equal, "--ledger", ledger, "--json").stdout)
    second = json.loads(call(base, better, "--ledger", ledger, "--json").stdout)
    assert [one["level"] for one in (first, second)] == [level_of_candidate(1), level_of_candidate(2)]
    ended = {"kept": 1, "dropped": 0, "undecided": 0, {1: "dropped", 3: "undecided"}[call(base, equal).exit_code]: 1}
    assert second["ledger"] == {"file": str(ledger), "number": 2, "tried": 2, **ended, "unfinished": 0}
    before = ledger.read_bytes()
    folder_of(tmp_path, "outgrid_nano", 1.0, 9)  # other seeds, which tell another tale
    again = call(base, better, "--ledger", ledger, "--json", "--max-seeds", "9")
    assert again.exit_code == 0
    assert {**json.loads(again.stdout), "decided_before": False} == second
    assert json.loads(again.stdout)["decided_before"] and ledger.read_bytes() == before
    assert "decided before" in call(base, better, "--ledger", ledger).stdout
    # Another question of the same candidate is another claim, and spends its own part.
    other = json.loads(call(base, better, "--by", "1", "--ledger", ledger, "--json").stdout)
    assert other["ledger"]["number"] == 3


def test_a_line_that_was_cut_off_is_dropped_and_a_damaged_one_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "sub" / "ledger.jsonl")
    entry = ledger.begin(Asked("a", "b", 0.2), ("one", "two"), 10)
    ledger.decide(entry, Outcome("undecided", "", ()))
    with ledger.path.open("ab") as file:
        file.write(b'{"event": "begun", "numb')
    assert [one.number for one in ledger.entries()] == [1]
    assert ledger.begin(Asked("a", "c", 0.2), ("one", "three"), 10).number == 2
    assert [one.asked.candidate for one in ledger.entries()] == ["b", "c"]
    ledger.path.write_bytes(b"{}\n" + ledger.path.read_bytes())
    with pytest.raises(UserError, match="line 1, cannot be read"):
        ledger.entries()


def test_several_at_once_never_share_a_number(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    threads = [
        threading.Thread(target=ledger.begin, args=(Asked("a", f"c{k}", 0.2), ("a", f"c{k}"), 10)) for k in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.number for entry in ledger.entries()] == list(range(1, 13))
    assert len({entry.asked.candidate for entry in ledger.entries()}) == 12


def test_bad_sides_are_refused(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    base, better, _ = folders
    other = folder_of(tmp_path / "other", "vit_mini", 3.0, 3, data__name="cifar100")
    write_run(tmp_path / "small" / "seed0", spec_of("swin_mini"), 3.0, images=400)
    write_run(tmp_path / "small" / "seed1", spec_of("swin_mini", 1), 3.0, images=400)
    for arguments, said in (
        ((base, base), "the same training"),
        ((base, tmp_path / "small"), "not tested alike"),
        ((base, tmp_path / "other" / "none"), "is no folder"),
        ((base, tmp_path), "trainings"),
        ((base, other, "--max-seeds", "2", "--by", "-1"), "--by -1"),
        ((base, better, "--change", "budget.epochs=2"), "--change cannot change"),
    ):
        result = call(*arguments)
        assert isinstance(result.exception, UserError), (arguments, result.output)
        assert any(part in str(result.exception) for part in said.split("|")), str(result.exception)


def test_models_recipes_and_rows_are_trained_and_a_baseline_serves_every_candidate(
    study_file: Callable[..., Path], tmp_path: Path
) -> None:
    study = study_file(data={"name": "digits", "image_size": 16, "train_limit": 400, "test_limit": 300})
    recipe = tmp_path / "small.yaml"  # the study's, made a little longer
    recipe.write_text(yaml.safe_dump({**yaml.safe_load(recipe.read_text()), "budget": {"steps": 20}}))
    data = ["--data", "digits", "--set", "data.image_size=16", "--set", "data.train_limit=400"]
    data += ["--set", "data.test_limit=300"]
    out = ["--out", tmp_path / "gate", "--ledger", tmp_path / "ledger.jsonl", "--json", "--yes", "--max-seeds", "3"]
    worse = call("resnet_nano", "vit_mini", "--recipe", recipe, *data, *out)
    assert worse.exit_code == 1, worse.output
    assert re.search(r"2 seeds of each side: gain [−+]\d+\.\d\d points, .* of this look; hopeless", worse.stderr)
    runs = sorted(path.parent.parent.name for path in (tmp_path / "gate").rglob("result.json"))
    assert len(runs) == 4 and {name.rpartition("-")[0] for name in runs} == {"resnet_nano", "vit_mini"}
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "gate").glob("resnet_nano-*/*/result.json")}
    change = ["--change", "recipe.optimizer.weight_decay=0.051"]
    row = call(f"{study}:resnet_nano", f"{study}:resnet_nano", *change, *out)
    assert row.exit_code in (1, 3), row.output
    said = json.loads(row.stdout)
    assert (
        said["ledger"]["number"] == 2
        and said["baseline"]["identity"] == json.loads(worse.stdout)["baseline"]["identity"]
    )
    assert {path: path.stat().st_mtime_ns for path in written} == written
    recipes = call(recipe, recipe, "--model", "resnet_nano", *data, *change, *out)
    assert json.loads(recipes.stdout)["decided_before"]  # the same question, said otherwise


def test_what_a_side_is() -> None:
    assert is_study_row("quickstart:resnet_mini") and is_study_row("sub/mine.yaml:row")
    assert not is_study_row("timm:resnet18") and not is_study_row("resnet_mini")


def test_a_finished_candidate_with_a_failed_run_is_not_better_and_such_a_baseline_is_refused(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    base, better, _ = folders
    write_run(better / "seed5", spec_of("outgrid_nano", 5), status="failed: loss is not finite")
    found = call(base, better, "--json", "--ledger", tmp_path / "ledger.jsonl")
    said = json.loads(found.stdout)
    assert (found.exit_code, said["verdict"]) == (1, "not better")
    assert said["why"] == "a run of it failed: seed 5: loss is not finite"
    assert said["ledger"]["dropped"] == 1
    refused = call(better, base).exception
    assert isinstance(refused, UserError) and "the baseline outgrid_nano has a run that failed: seed 5" in str(refused)
    write_run(better / "again" / "seed5", spec_of("outgrid_nano", 5), 4.5, images=1000)
    assert call(base, better).exit_code == 0  # it came through later


def test_a_row_whose_study_says_that_a_seed_failed_is_a_candidate_that_failed(folders: tuple[Path, Path, Path]) -> None:
    base, better, _ = folders
    row = {"name": "outgrid_nano", "failures": {"7": "boom at 7"}}
    (better.parent / "study.json").write_text(json.dumps({"name": "s", "rows": [row]}))
    found = call(base, better)
    assert found.exit_code == 1 and "seed 7: boom at 7" in " ".join(found.stdout.split())


@pytest.mark.parametrize(("most", "seeds"), [(4, None), (5, 5), (9, 5)])
def test_a_candidate_that_was_begun_keeps_the_looks_that_were_planned(
    most: int, seeds: int | None, folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    base, better, _ = folders
    ledger = Ledger(tmp_path / "ledger.jsonl")
    begun = ledger.begin(Asked(side_of_folder(base).identity, side_of_folder(better).identity, 0.0), ("a", "b"), 5)
    folder_of(tmp_path, "resnet_mini", 3.0, 9)
    folder_of(tmp_path, "outgrid_nano", 4.5, 9)
    found = call(base, better, "--ledger", ledger.path, "--max-seeds", most, "--json")
    if seeds is None:
        assert isinstance(found.exception, UserError) and "--max-seeds 5" in str(found.exception)
        assert ledger.entries() == [begun]
    else:
        said = json.loads(found.stdout)
        assert (said["max_seeds"], [look["seeds"] for look in said["looks"]]) == (5, [seeds])


def test_a_folder_of_no_finished_run_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "seed0", spec_of("resnet_mini"), status="failed: loss is not finite")
    with pytest.raises(UserError, match="no finished run"):
        side_of_folder(tmp_path)
