"""All analyses within a time: cheapest first, what is left out is said, what is of the same runs is kept."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from levelfield.analysis.all_analyses import ANALYSES, ELSEWHERE, Resources, all_analyses, is_there
from levelfield.analysis.studied_rows import studied
from levelfield.cli.app import app
from synthetic_runs import spec_of, write_run


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for model in ("resnet_mini", "vit_mini"):
        for seed in range(3):
            write_run(tmp_path / model / f"seed{seed}", spec_of(model, seed), images=300)
    return tmp_path


def carried_out(
    study: Path, until: float = math.inf, images: int = 100, **changes: Any
) -> tuple[dict[str, bool], dict[str, str]]:
    """What was done, and whether it was kept; what was left out, and why."""
    answer = all_analyses(studied(study, **changes), Resources(until, images, "cpu", None))
    return (
        {one["analysis"]: one["kept"] for one in answer["done"]},
        {one["analysis"]: one["why"] for one in answer["left_out"]},
    )


def test_what_the_rows_do_not_allow_is_left_out_and_said(study: Path) -> None:
    done, left_out = carried_out(study)
    assert list(done) == ["curves", "errors", "calibration"] and not any(done.values())
    assert left_out["robustness"].endswith("has its weights")
    assert left_out["attention"].endswith("its weights are not here")
    assert "weights are not here" in left_out["overlays"] or "is not installed" in left_out["overlays"]
    assert "had an energy meter" in left_out["energy"]
    assert {name: left_out[name] for name in ELSEWHERE} == dict(ELSEWHERE)
    assert {path.stem for path in (study / "analysis").glob("*.json")} == set(done)


def test_what_is_of_the_same_runs_is_kept_and_after_another_run_it_is_not(study: Path) -> None:
    carried_out(study)
    path = study / "analysis" / "curves.json"
    written = path.stat().st_mtime_ns
    assert all(carried_out(study)[0].values()) and path.stat().st_mtime_ns == written
    assert not any(carried_out(study, baseline="vit_mini")[0].values())  # beside another baseline
    write_run(study / "vit_mini" / "seed3", spec_of("vit_mini", 3), images=300)
    assert not any(carried_out(study)[0].values())
    path.write_text("{")
    assert carried_out(study)[0] == {"curves": False, "errors": True, "calibration": True}


def test_what_was_asked_for_with_options_is_not_overwritten(study: Path) -> None:
    """Another baseline, another seed, photographs of frost: what somebody asked for stays until asked for again."""
    asked = ["analyze", "curves", str(study), "--target", "30"]
    assert CliRunner().invoke(app, asked).exit_code == 0
    path = study / "analysis" / "curves.json"
    assert json.loads(path.read_text())["asked"] == ["--target", "30.0"]
    assert carried_out(study)[0]["curves"]  # of these runs: kept
    write_run(study / "vit_mini" / "seed3", spec_of("vit_mini", 3), images=300)
    before = path.read_bytes()
    done, left_out = carried_out(study)
    assert "curves" not in done and done["errors"] is False and path.read_bytes() == before
    assert left_out["curves"] == (
        f"it was asked for with --target 30.0: levelfield analyze curves {study} --target 30.0"
    )
    assert CliRunner().invoke(app, ["analyze", "curves", str(study), "--baseline", "vit_mini"]).exit_code == 0
    assert json.loads(path.read_text())["asked"] == []
    assert carried_out(study)[0]["curves"] is False


def test_nothing_is_begun_when_the_time_is_over(study: Path) -> None:
    done, left_out = carried_out(study, until=time.monotonic())
    assert done == {} and all(left_out[one.name].startswith("the time is over") for one in ANALYSES)
    assert not (study / "analysis").exists()


def test_an_analysis_that_is_cut_short_writes_nothing(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock runs out at the fourth run that calibration asks of."""
    now = iter([0.0] * 10_000)
    monkeypatch.setattr("levelfield.analysis.all_analyses.time.monotonic", lambda: next(now))
    seen: list[str] = []

    def see(name: str) -> None:
        nonlocal now
        seen.append(name)
        if name == "calibration":
            now = iter([0.0] * 3 + [5.0] * 100)

    answer = all_analyses(studied(study), Resources(1.0, 100, "cpu", None), see)
    assert seen == ["curves", "energy", "errors", "calibration"]
    assert [one["analysis"] for one in answer["done"]] == ["curves", "errors"]
    assert [one["analysis"] for one in answer["left_out"]][:3] == ["energy", "calibration", "overlays"]
    assert not (study / "analysis" / "calibration.json").exists()


def test_of_more_images_robustness_is_computed_and_one_of_more_is_kept(study: Path) -> None:
    """What `levelfield analyze robustness` found on all of them, with frost maybe, does not give way to less."""
    carried_out(study)
    found = studied(study)
    robustness = ANALYSES[-1]
    answer = json.loads((study / "analysis" / "curves.json").read_text())
    for images, kept in ((100, [True, True, False]), (None, [True, True, True])):
        stored = {key: answer[key] for key in ("baselines", "runs", "made_of")} | {"images": images, "seed": 0}
        (study / "analysis" / "robustness.json").write_text(json.dumps(stored))
        resources = [Resources(math.inf, count, "cpu", None) for count in (50, 100, 200)]
        assert [is_there(found, robustness, one) for one in resources] == kept
