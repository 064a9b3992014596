"""What was computed of a run is not taken for that of another one of the same identity, nor of what came later."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from levelfield.analysis import result_cache, studied_rows
from levelfield.analysis.all_analyses import Resources, all_analyses
from levelfield.analysis.result_cache import ResultCache, asked_of
from levelfield.analysis.studied_rows import studied
from levelfield.errors import UserError
from levelfield.page.page import page
from levelfield.runs import write_json
from levelfield.tables import build_table, read_study
from levelfield.training import load_run
from synthetic_runs import write_two_models


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_two_models(tmp_path)


def kept(study: Path) -> dict[str, bool]:
    answer = all_analyses(studied(study), Resources(math.inf, 100, "cpu", None))
    return {one["analysis"]: one["kept"] for one in answer["done"]}


def trained_again(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = study / "vit_mini" / "seed1" / "result.json"
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, result | {"train_seconds": result["train_seconds"] + 1})


def weights_have_come(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (study / "vit_mini" / "seed1" / "weights.safetensors").write_bytes(b"")


def was_profiled(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(study / "costs.json", [])


def was_profiled_again(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(study / "costs.json", [])
    kept(study)
    (study / "costs.json").write_text("[ ]")


def another_levelfield(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (studied_rows, result_cache):
        monkeypatch.setattr(module, "version", lambda name: "99")


CHANGES = (trained_again, weights_have_come, was_profiled, was_profiled_again, another_levelfield)


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_no_answer_is_kept(
    study: Path, change: Callable[[Path, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept(study) == {"curves": False, "errors": False, "calibration": False}
    assert all(kept(study).values())
    change(study, monkeypatch)
    assert not any(kept(study).values())
    assert all(kept(study).values())


def test_weights_that_cannot_be_read_are_said(study: Path) -> None:
    """Not with a traceback."""
    run = study / "vit_mini" / "seed1"
    (run / "weights.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"weights.safetensors cannot be read"):
        load_run(run)


def test_what_has_gone_since_makes_no_answer_stale(study: Path) -> None:
    kept(study)
    (study / "vit_mini" / "seed1" / "metrics.jsonl").unlink()
    (study / "vit_mini" / "seed1" / "predictions.parquet").unlink()
    assert all(kept(study).values())


def test_the_page_says_that_a_run_was_carried_out_again(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(study)
    assert "carried out again" not in page(build_table(read_study(study)))
    trained_again(study, monkeypatch)
    assert "Computed before runs of this table were carried out again" in page(build_table(read_study(study)))


@pytest.mark.parametrize("change", [trained_again, another_levelfield])
def test_nothing_cached_of_a_run_is_taken_for_the_same_run_carried_out_again(
    study: Path, change: Callable[[Path, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> tuple[str, dict[str, Any]]:
        run = next(row for row in studied(study).rows if row.name == "vit_mini").runs[1]
        assert run.folder is not None
        return run.folder.identity, asked_of(run, images=5)

    cache = ResultCache(study / "analysis", "some")
    cache.put(*asked(), {"x": 1})
    assert cache.get(*asked()) == {"x": 1}
    change(study, monkeypatch)
    assert cache.get(*asked()) is None
