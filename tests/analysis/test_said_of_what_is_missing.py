"""What is not there, or is otherwise, is said: weights, predictions, images of another size, or fewer of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from levelfield.analysis.calibration import calibration
from levelfield.analysis.errors import errors
from levelfield.analysis.result_cache import write_answer
from levelfield.analysis.robustness import robustness, seen_images
from levelfield.analysis.studied_rows import made_of, studied
from levelfield.analysis.where_it_looks.attention import attention
from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.page.page import page
from levelfield.progress import Progress
from levelfield.runs import write_json
from levelfield.spec import RunSpec
from levelfield.tables import build_table, read_study
from levelfield.tables.lists_in_words import left_out_in_words
from levelfield.training import train
from synthetic_runs import spec_of, write_run, write_two_models

IMAGES = 20


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rows that see the same test images in another size, a seed each."""
    root = tmp_path_factory.mktemp("sizes")
    for name, side in (("small", 16), ("large", 24)):
        train(_spec(side), root / name, progress=Progress(shown=False))
    return root


def _spec(side: int, seed: int = 0) -> RunSpec:
    return RunSpec.parse({
        "model": {"name": "vit_mini", "options": {"patch": 8, "width_factor": 0.25, "depth_factor": 0.25}},
        "data": {"name": "digits", "image_size": side, "train_limit": 100, "test_limit": IMAGES},
        "recipe": {"name": "digits-fast", "validation": 0.1}, "budget": {"steps": 1}, "seed": seed,
        "execution": {"device": "cpu", "workers": 0, "threads": 1},
    })  # fmt: skip


@pytest.fixture
def study(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "study"))


def test_rows_that_see_other_images_are_not_compared_under_corruption(study: Path) -> None:
    """Both are of one test set; a blur of so many px is another one of larger pictures."""
    found = studied(study)
    assert len(found.panels) == 1
    baseline, other = found.baselines[found.panels[0]], next(
        row.name for row in found.rows if row.name not in found.baselines.values()
    )  # fmt: skip
    told: list[tuple[int, int]] = []
    answer = robustness(found, images=10, device="cpu", see=lambda what, done, total: told.append((done, total)))
    done = [at for at, _ in told]  # one course over both sizes
    assert done == sorted(done) and done[0] == 0 and {total for _, total in told} == {done[-1]}
    assert answer["differences"] == [] and list(answer["left_out"]) == [other]
    assert "24" in answer["left_out"][other] and "16" in answer["left_out"][other]
    runs = {row["row"]: row["runs"][0] for row in answer["rows"]}
    assert runs[other]["mce"] is None and runs[other]["scores"] and runs[baseline]["mce"] == pytest.approx(100)
    write_answer(study / "analysis", "robustness", answer)
    html = page(build_table(read_study(study)))
    assert f"{other}: not compared with {baseline}" in html and f"{other} is left out" not in html  # its figures stand
    title = {row["row"]: row["title"] for row in answer["rows"]}
    assert f"{title[other]} (16 px)" in html and f"{title[baseline]} (24 px)" not in html  # told apart in charts
    done = CliRunner().invoke(app, ["analyze", "robustness", str(study), "--images", "1000", "--device", "cpu"])
    assert f"of {IMAGES} test images" in done.output and "1,000" not in done.output  # the set has no more
    assert "Images of 16 px, 24 px: the parameters are those for 32 or 64 px" in done.output


def test_subsets_drawn_by_another_seed_are_other_images(tmp_path: Path) -> None:
    """The first run's would stand for those of all."""
    for name, limit in (("cut", 50), ("whole", None)):
        for split_seed in (0, 1):
            spec = spec_of("vit_mini", split_seed, data__test_limit=limit, data__split_seed=split_seed)
            write_run(tmp_path / name / f"{split_seed}", spec, images=50)
    seen = {name: {seen_images(run) for row in studied(tmp_path / name).rows for run in row.runs}
            for name in ("cut", "whole")}  # fmt: skip
    assert len(seen["cut"]) == 2 and len(seen["whole"]) == 1


def test_rows_that_lack_the_same_are_named_together() -> None:
    answer = {
        "left_out": {"a": "no weights", "b": "other images", "c": "no weights", "d": "other images", "e": "no weights"},
        "rows": [{"row": "b", "runs": [1]}, {"row": "e", "runs": [1]}, {"row": "d", "runs": []}],
    }
    assert left_out_in_words(answer) == [
        "e: no weights", "a and c are left out: no weights", "b: other images", "d is left out: other images",
    ]  # fmt: skip
    assert left_out_in_words({"left_out": {}}) == []


@pytest.mark.parametrize("analyse", [robustness, attention])
def test_so_many_images_are_named_as_there_are(study: Path, analyse: Callable[..., dict[str, Any]]) -> None:
    shutil.rmtree(study / "large")
    answer = analyse(studied(study), images=5000, device="cpu")
    write_answer(study / "analysis", analyse.__name__, answer)
    html = page(build_table(read_study(study)))
    assert f"{IMAGES} test images" in html and "5,000" not in html


@pytest.mark.parametrize("analyse", [robustness, attention, calibration])
def test_rows_whose_files_are_gone_are_named(study: Path, analyse: Callable[..., dict[str, Any]]) -> None:
    file = "predictions.parquet" if analyse is calibration else "weights.safetensors"
    (study / "large" / file).unlink()
    how = {} if analyse is calibration else {"images": 10}
    answer = analyse(studied(study), device="cpu", **how)
    said = f"its {file.partition('.')[0]} are not here"
    assert said in answer["left_out"].values()
    write_answer(study / "analysis", analyse.__name__, answer)
    html = page(build_table(read_study(study)))
    assert said in html
    (study / "small" / file).unlink()
    shutil.rmtree(study / "analysis")
    with pytest.raises(UserError):
        analyse(studied(study), device="cpu", **how)


@pytest.mark.parametrize("analyse", [robustness, attention])
def test_a_row_whose_data_are_not_here_leaves_the_others(study: Path, analyse: Callable[..., dict[str, Any]]) -> None:
    path = study / "large" / "run.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    described["data"]["own"] = True
    write_json(path, described)
    answer = analyse(studied(study), images=10, device="cpu")
    assert any("data of your own" in said for said in answer["left_out"].values())
    assert sum(bool(row["runs"]) for row in answer["rows"]) == 1


def test_a_seed_that_is_missing_is_named_by_its_number(tmp_path: Path) -> None:
    write_two_models(tmp_path)
    (tmp_path / "vit_mini" / "seed1" / "predictions.parquet").unlink()
    assert calibration(studied(tmp_path))["left_out"] == {"vit_mini": "the predictions of seed 1 are not here"}


def test_it_is_not_said_that_there_is_one_row_where_the_baseline_lacks_what_is_compared(tmp_path: Path) -> None:
    for model in ("resnet_mini", "vit_mini", "mobile_mini"):
        write_run(tmp_path / model / "seed0", spec_of(model), images=200)
    (tmp_path / "resnet_mini" / "seed0" / "predictions.parquet").unlink()
    found = studied(tmp_path, "resnet_mini")
    assert "one row" not in errors(found)["said"]
    done = CliRunner().invoke(app, ["analyze", "calibration", str(tmp_path), "--baseline", "resnet_mini"])
    assert done.exit_code == 0 and "one row" not in done.output and "takes the baseline" in done.output


def test_a_family_is_of_one_test_set_and_the_page_says_so(tmp_path: Path) -> None:
    for data in ("cifar10", "svhn"):
        for model, skill in (("resnet_mini", 4.0), ("vit_mini", 2.0)):
            for seed in range(3):
                write_run(tmp_path / data / model / str(seed), spec_of(model, seed, data), skill, images=200)
    html = {}
    for which in ("cifar10", ""):
        folder = tmp_path / which
        write_answer(folder / "analysis", "calibration", calibration(studied(folder)))
        html[which] = page(build_table(read_study(folder)))
    assert "All lines are one family" in html["cifar10"] and "All lines are one family" not in html[""]
    assert "The lines of each test set are one family" in html[""]


def test_the_nearest_head_is_that_of_each_seed(tmp_path: Path) -> None:
    """Heads of two networks are no pairs: with one at 2 and one at 10 px in both, none looks 6 px far."""
    for seed in (0, 1):
        write_run(tmp_path / f"seed{seed}", spec_of("vit_mini", seed), images=50)
    found = studied(tmp_path)
    layer = {"name": "blocks.0", "kind": "global", "side_px": 32, "spacing_px": 4.0, "uniform_px": 16.0}
    runs = [
        {"seed": seed, "identity": None, "layers": [layer | {"heads_px": heads}]}
        for seed, heads in enumerate(([2.0, 10.0], [10.0, 2.0]))
    ]
    (row,) = found.rows
    answer = {
        "baselines": {}, "images": 9, "seed": 0, "left_out": {}, "runs": {}, "made_of": made_of(found),
        "rows": [{"row": row.name, "title": row.title, "panel": row.panel, "runs": runs}],
    }  # fmt: skip
    write_answer(tmp_path / "analysis", "attention", answer)
    html = page(build_table(read_study(tmp_path)))
    assert "<td>6.0</td><td>2.0</td><td>10.0</td>" in html
