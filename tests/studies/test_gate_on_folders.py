"""The gate on finished folders: what was looked at before, what differs, and how the two are told apart."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.statistics import ALPHA
from levelfield.statistics.gate import GateLook, level_of_candidate
from levelfield.statistics.looks import Look, further_share
from levelfield.studies.running.gate import look_in_words
from levelfield.tables.looks import Looks, write_looks
from synthetic_runs import spec_of, write_run


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["gate", *map(str, arguments)])


def said(*arguments: object) -> dict[str, Any]:
    result = call(*arguments, "--json")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def row(folder: Path, model: str, skill: float, seeds: int = 4, **changes: Any) -> Path:
    for seed in range(seeds):
        write_run(folder / f"seed{seed}-{model}", spec_of(model, seed, **changes), skill, images=1000)
    return folder


def looked_at(study: Path, looks: Sequence[tuple[float, bool]]) -> None:
    """Keep in `study` that its two rows were looked at, at such shares, planned or not."""
    seeds = {"resnet_mini": (0, 1, 2, 3), "outgrid_nano": (0, 1, 2, 3)}
    made = tuple(Look(seeds, share, 4 if planned else 0, ()) for share, planned in looks)
    write_looks(study, Looks(made, 0.5, "usual", {}, 10 if looks and looks[0][1] else None))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two rows of a study: a baseline and one that is a little better."""
    return (
        row(tmp_path / "strong" / "resnet_mini", "resnet_mini", 3.0),
        row(tmp_path / "strong" / "outgrid_nano", "outgrid_nano", 3.4),
    )


PLAN = [(0.1, True), (0.2, True), (0.3, True), (0.4, True)]


@pytest.mark.parametrize(
    ("looks", "share"), [(PLAN, 0.5), ([*PLAN, (0.5, False)], 0.25), ([(1.0, False)], 0.5), ([(1.0, False)] * 3, 0.125)]
)
def test_a_study_that_was_looked_at_leaves_what_a_further_look_may_spend(
    pair: tuple[Path, Path], looks: list[tuple[float, bool]], share: float
) -> None:
    assert said(*pair)["looks"][0]["level"] == ALPHA
    looked_at(pair[0].parent, looks)
    found = said(*pair)
    assert share == further_share([Look({}, share_of, int(planned)) for share_of, planned in looks])
    assert found["looks"][0]["level"] == pytest.approx(ALPHA * share)
    assert found["looked_at_before"] == [{"study": str(pair[0].parent), "looks": len(looks)}]
    text = " ".join(call(*pair).stdout.split())
    times = "once" if len(looks) == 1 else f"{len(looks)} times"
    assert f"was looked at {times} before" in text and "levelfield study report" in text
    assert f"{100 * ALPHA * share:.3g} %" in text


def test_a_candidate_with_a_failed_run_of_a_study_that_was_looked_at_is_not_better(pair: tuple[Path, Path]) -> None:
    looked_at(pair[0].parent, PLAN)
    write_run(pair[1] / "seed9", spec_of("outgrid_nano", 9), images=1000, status="failed: boom")
    result = call(*pair)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1 and "a run of it failed" in result.stdout
    assert "look spends" not in result.stdout  # none was made


def test_a_run_s_own_folder_knows_its_study_too_and_a_ledger_spends_the_share_of_its_part(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    looked_at(pair[0].parent, PLAN)
    elsewhere = row(tmp_path / "other" / "convnext_mini", "convnext_mini", 3.0)
    found = said(elsewhere, pair[1], "--ledger", tmp_path / "ledger.jsonl")
    assert found["level"] == level_of_candidate(1)
    assert found["looks"][0]["level"] == pytest.approx(level_of_candidate(1) / 2)


def test_looks_that_are_planned_and_not_yet_made_spend_nothing(pair: tuple[Path, Path]) -> None:
    looked_at(pair[0].parent, [])
    found = said(*pair)
    assert found["looks"][0]["level"] == ALPHA and found["looked_at_before"] == []


def test_other_folders_cannot_say_how_their_seeds_were_chosen(pair: tuple[Path, Path]) -> None:
    text = " ".join(call(*pair).stdout.split())
    assert "seeds" in text and "chosen before" in text and "folders cannot say" in text


def test_a_damaged_account_of_looks_is_refused(pair: tuple[Path, Path]) -> None:
    (pair[0].parent / "looks.json").write_text("{")
    result = call(*pair)
    assert isinstance(result.exception, UserError) and "looks.json cannot be read" in str(result.exception)


def test_settings_in_which_two_folders_differ_are_named(tmp_path: Path) -> None:
    one = row(tmp_path / "a" / "net", "resnet_mini", 3.0)
    two = row(tmp_path / "b" / "net", "resnet_mini", 4.5, recipe__batch_size=64, budget__epochs=3)
    found = said(one, two)
    assert found["differ"] == {
        "recipe.batch_size": {"baseline": "256", "candidate": "64"},
        "budget.epochs": {"baseline": "12", "candidate": "3"},
    }
    text = " ".join(call(one, two).stdout.split())
    assert "they differ in" in text and "recipe.batch_size (256, 64)" in text and "budget.epochs (12, 3)" in text
    # Both rows are called net: their folders tell them apart.
    assert (found["baseline"]["name"], found["candidate"]["name"]) == (str(one), str(two))


def test_networks_that_differ_in_nothing_else_need_no_such_line(pair: tuple[Path, Path]) -> None:
    assert said(*pair)["differ"].keys() == {"model.name"}
    assert "they differ" not in call(*pair).stdout


def test_a_candidate_left_open_is_undecided_and_not_dropped(tmp_path: Path) -> None:
    base = row(tmp_path / "resnet_mini", "resnet_mini", 3.0, seeds=3)
    near = row(tmp_path / "vit_mini", "vit_mini", 3.4, seeds=3)
    ledger = tmp_path / "ledger.jsonl"
    result = call(base, near, "--ledger", ledger)
    assert result.exit_code == 3, result.stdout
    text = " ".join(result.stdout.split())
    assert "1 tried: 0 kept, 0 dropped, 1 undecided" in text
    ledger.write_bytes(ledger.read_bytes().splitlines(keepends=True)[0])  # begun, and killed before it ended
    other = row(tmp_path / "outgrid_nano", "outgrid_nano", 4.5, seeds=4)
    text = " ".join(call(base, other, "--ledger", ledger).stdout.split())
    assert "2 tried:" in text and "1 not finished" in text


def test_a_bound_beyond_what_scores_can_be_is_not_shown(tmp_path: Path) -> None:
    base = row(tmp_path / "resnet_mini", "resnet_mini", 0.1, seeds=2)
    other = row(tmp_path / "vit_mini", "vit_mini", 4.5, seeds=2)
    ledger = tmp_path / "ledger.jsonl"
    found = said(base, other, "--ledger", ledger)
    text = " ".join(call(base, other, "--ledger", ledger).stdout.split())
    assert found["gain"] > 20
    for number in re.findall(r"above ([+−]\d+\.\d+)", text):
        assert -100 < float(number.replace("−", "-")) < 100


@pytest.mark.parametrize(("low", "words"), [(-906.2, "no bound at the 0.24 %"), (-3.0, "above −3.00 at the 0.24 %")])
def test_a_look_in_words_ends_where_scores_do(low: float, words: str) -> None:
    look = GateLook(2, 42.0, 100.0, 0.4, 0.0024, low, "open", "Welch's t")
    assert look_in_words(look) == f"gain +42.00 points, {words} of this look"
