"""How rows get there: crossings and censored seeds by hand, verdicts at earlier stops, and on which images."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from typer.testing import CliRunner

from levelfield.analysis.curves import curves
from levelfield.analysis.run_curves import RunCurve
from levelfield.analysis.studied_rows import studied
from levelfield.analysis.time_to_accuracy import of_row
from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.page.page import page
from levelfield.runs import write_json, write_text
from levelfield.tables import build_table, read_study
from synthetic_runs import spec_of, write_run

EPOCHS = 10
SEEDS = 4
Curve = Callable[[int, int], float]
"""Top-1 by epoch (from 1) and seed."""


def write_curve(run: Path, curve: Curve, seed: int, key: str = "val_top1", samples: int = 1000, every: int = 1) -> None:
    lines: list[dict[str, Any]] = []
    for epoch in range(1, EPOCHS + 1):
        line: dict[str, Any] = {"kind": "epoch", "epoch": epoch, "samples": samples, "train_seconds": 2.0 * epoch}
        if epoch % every == 0:
            line[key] = curve(epoch, seed)
        lines += [{"kind": "train", "epoch": epoch - 0.5, "train_loss": 1.0}, line]
    write_text(run / "metrics.jsonl", "\n".join(map(json.dumps, lines)) + "\n")


def study_of(folder: Path, rows: dict[str, Curve], of: Mapping[str, Any] = MappingProxyType({}), **how: Any) -> Path:
    for model, curve in rows.items():
        for seed in range(SEEDS):
            run = write_run(
                folder / model / f"seed{seed}", spec_of(model, seed, budget__epochs=EPOCHS, **of), images=200
            )
            write_curve(run.path, curve, seed, **how)
    return folder


def steady(epoch: int, seed: int) -> float:
    """50, 55 ... 95, half a point apart by seed."""
    return 45.0 + 5 * epoch + 0.5 * seed


def late(epoch: int, seed: int) -> float:
    """Far behind until the last fifth, then ahead."""
    return (20.0 if epoch < 8 else 98.0) + 0.4 * seed


def test_epochs_and_seconds_to_an_accuracy_are_those_of_the_lines(tmp_path: Path) -> None:
    answer = curves(studied(study_of(tmp_path, {"resnet_mini": steady, "vit_mini": late})), 71)
    panel = answer["panels"][0]
    found = {row["row"]: row["to_target"] for row in panel["rows"]}
    # 71 %: seeds 0 and 1 after six epochs (75, 75.5), seeds 2 and 3 too: 70 + 1 and 70 + 1.5 after five
    assert found["resnet_mini"]["epochs"]["estimate"] == pytest.approx((6 + 6 + 5 + 5) / 4)
    assert found["resnet_mini"]["seconds"]["estimate"] == pytest.approx(2 * 5.5)
    assert found["resnet_mini"]["epochs"]["low"] < 5.5 < found["resnet_mini"]["epochs"]["high"]
    assert found["resnet_mini"]["never"] == [] and panel["stated"] and panel["target"] == 71
    point = panel["rows"][0]["points"][2]
    assert (point["epochs"], point["images"], point["seconds"]) == (3, 3000, 6)
    macs = studied(tmp_path).rows[0].runs[0].result["macs"]
    assert point["macs"] == pytest.approx(3 * macs * 3000)
    assert (point["lowest"], point["mean"], point["highest"]) == pytest.approx((60, 60.75, 61.5))
    verdicts = {one["measure"]: one["verdict"] for one in answer["differences"]}
    assert verdicts == {"epochs": "worse"}  # vit_mini takes eight; seconds are of machines that may have been busy
    json.dumps(answer, allow_nan=False)


def test_seeds_that_never_get_there_are_counted_and_not_compared(tmp_path: Path) -> None:
    def stuck(epoch: int, seed: int) -> float:
        return 40.0 if seed == 2 else steady(epoch, seed) - 5

    answer = curves(studied(study_of(tmp_path, {"resnet_mini": steady, "vit_mini": stuck})), 71)
    found = {row["row"]: row["to_target"] for row in answer["panels"][0]["rows"]}["vit_mini"]
    assert (found["reached"], found["runs"], found["never"]) == (3, 4, [2])
    assert found["epochs"] == {"estimate": None, "low": None, "high": None, "at_least": (7 + 7 + 10 + 6) / 4}
    assert answer["differences"] == []
    html = shown(tmp_path, answer)
    assert "at least 7.5" in html and "<td>3 of 4</td>" in html and "<td>2</td>" in html


def test_a_mean_over_seeds_that_came_alone_is_never_given() -> None:
    runs = [RunCurve(seed, (1, 2, 3), (10, 20, 30.0 + seed), None, None, None) for seed in range(3)]
    assert of_row(runs, 31)["epochs"]["estimate"] is None and of_row(runs, 31)["epochs"]["at_least"] == 3
    assert of_row(runs, 30)["epochs"]["estimate"] == 3 and of_row(runs, 30)["seconds"] is None
    assert of_row(runs, 30)["epochs"]["low"] is None  # equal times show no spread


def test_a_seed_that_diverged_never_came_and_its_row_is_not_compared(tmp_path: Path) -> None:
    """As one that never got there, though it has no curve to its end."""
    study_of(tmp_path, {"resnet_mini": steady, "vit_mini": steady})
    path = tmp_path / "vit_mini" / "seed3" / "result.json"
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"status": "failed: loss is not finite at step 9"})
    answer = curves(studied(tmp_path), 71)
    found = {row["row"]: row["to_target"] for row in answer["panels"][0]["rows"]}
    assert found["resnet_mini"]["failed"] == [] and found["resnet_mini"]["epochs"]["estimate"] is not None
    one = found["vit_mini"]
    assert (one["reached"], one["runs"], one["never"], one["failed"]) == (3, 4, [], [3])
    assert one["epochs"]["estimate"] is None and one["epochs"]["at_least"] == pytest.approx((6 + 6 + 5) / 3)
    assert not [d for d in answer["differences"] if d["row"] == "vit_mini"]
    assert "3 (failed)" in shown(tmp_path, answer)


@pytest.mark.parametrize("teacher", [0, 7])
def test_a_teachers_forward_passes_are_counted(tmp_path: Path, teacher: int) -> None:
    study_of(tmp_path, {"resnet_mini": steady})
    for seed in range(SEEDS):
        path = tmp_path / "resnet_mini" / f"seed{seed}" / "result.json"
        result = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, result | {"macs": 5} | ({"teacher_macs": teacher} if teacher else {}))
    (row,) = curves(studied(tmp_path))["panels"][0]["rows"]
    assert row["points"][0]["macs"] == (3 * 5 + teacher) * 1000


def test_an_earlier_stop_would_have_said_the_opposite(tmp_path: Path) -> None:
    answer = curves(studied(study_of(tmp_path, {"resnet_mini": steady, "vit_mini": late})))
    panel = answer["panels"][0]
    assert panel["split"] == "validation images, held out of training" and not panel["stated"]
    stops = panel["stops"]
    assert [stop["epoch"] for stop in stops["stops"]] == list(range(1, 11))
    assert [stop["rows"]["vit_mini"]["verdict"] for stop in stops["stops"]] == ["worse"] * 7 + ["better"] * 3
    assert stops["rows"] == [
        {"row": "vit_mini", "end": "better", "settled": 80.0, "flipped": [10, 20, 30, 40, 50, 60, 70], "early": []}
    ]
    assert "1 would have been the opposite at some time" in shown(tmp_path, answer)


def test_by_training_accuracy_alone_nothing_is_concluded(tmp_path: Path) -> None:
    answer = curves(studied(study_of(tmp_path, {"resnet_mini": steady, "vit_mini": late}, key="train_top1")))
    stops = answer["panels"][0]["stops"]
    assert (
        answer["differences"] == []
        and stops["stops"] == []
        and "only train_top1, which no verdict is of" in stops["said"]
    )
    assert "which no verdict is of" in shown(tmp_path, answer)


def test_epochs_without_validation_and_rows_without_it(tmp_path: Path) -> None:
    """Every second epoch is validated; the images of all count. A row without any validation is left out and named."""
    study_of(tmp_path, {"resnet_mini": steady, "vit_mini": late}, every=2)
    study_of(tmp_path, {"mobile_mini": steady}, key="train_top1")
    assert "baseline mobile_mini has no such curve" in curves(studied(tmp_path))["panels"][0]["stops"]["said"]
    panel = curves(studied(tmp_path, "resnet_mini"))["panels"][0]
    points = panel["rows"][0]["points"]
    assert [(point["epochs"], point["images"]) for point in points] == [(n, 1000 * n) for n in (2, 4, 6, 8, 10)]
    assert panel["left_out"] == {"mobile_mini": "not all of its runs have val_top1 by epoch"}
    assert [stop["share"] for stop in panel["stops"]["stops"]] == [20, 40, 60, 80, 100]


def test_accuracies_of_other_validation_images_are_drawn_and_not_compared(tmp_path: Path) -> None:
    """Half of the rows' runs held out a fifth, the others a tenth: an epoch's top-1 is of other images there."""
    study_of(tmp_path, {"resnet_mini": steady, "mobile_mini": late}, of={"data__validation": 0.1})
    study_of(tmp_path, {"vit_mini": late}, of={"data__validation": 0.2})
    answer = curves(studied(tmp_path, "resnet_mini"), 71)
    panel = answer["panels"][0]
    assert [one["row"] for one in answer["differences"]] == ["mobile_mini"]
    assert [row["row"] for row in panel["stops"]["rows"]] == ["mobile_mini"] and len(panel["rows"]) == 3
    assert panel["left_out"] == {"vit_mini": "not compared with resnet_mini, which held out other validation images"}
    html = shown(tmp_path, answer)
    assert "vit_mini: not compared with resnet_mini" in html and "vit_mini is left out" not in html


def test_an_end_within_the_steps_that_are_not_timed_is_not_after_no_seconds(tmp_path: Path) -> None:
    study_of(tmp_path, {"resnet_mini": steady})
    for file in tmp_path.rglob("metrics.jsonl"):
        lines = [json.loads(line) | {"train_seconds": 0.0} for line in file.read_text(encoding="utf-8").splitlines()]
        write_text(file, "\n".join(map(json.dumps, lines)) + "\n")
    row = curves(studied(tmp_path), 71)["panels"][0]["rows"][0]
    assert row["to_target"]["seconds"] is None and row["to_target"]["epochs"]["estimate"] == 5.5
    assert all(point["seconds"] is None for point in row["points"])


def metered(study: Path, model: str, of: str, joules: float, unknown: int = -1) -> None:
    """Let `model`'s runs have counted so many joules an epoch, but none after epoch `unknown` of seed 0."""
    for seed in range(SEEDS):
        run = study / model / f"seed{seed}"
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        for line in lines:
            if line["kind"] == "epoch" and (seed, line["epoch"]) != (0, unknown):
                line["train_joules"] = joules * line["epoch"] + seed
        write_text(run / "metrics.jsonl", "\n".join(map(json.dumps, lines)) + "\n")
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        write_json(run / "result.json", result | {"train_joules": joules * EPOCHS + seed, "energy_of": of})


def test_curves_run_along_the_energy_that_one_kind_of_meter_counted(tmp_path: Path) -> None:
    study_of(tmp_path, {"resnet_mini": steady, "vit_mini": late})
    metered(tmp_path, "resnet_mini", "the GPU", 2000)
    assert curves(studied(tmp_path))["panels"][0]["meter"] is None  # half of the runs had none
    metered(tmp_path, "vit_mini", "the GPU", 500)
    panel = curves(studied(tmp_path))["panels"][0]
    assert panel["meter"] == "the GPU"
    found = {row["row"]: [point["joules"] for point in row["points"]] for row in panel["rows"]}
    assert found["resnet_mini"] == [2000 * epoch + 1.5 for epoch in range(1, 11)]
    assert found["vit_mini"][-1] == 5001.5
    html = shown(tmp_path, curves(studied(tmp_path)))
    assert "curves-joules-0" in html and "Energy of the GPU." in html


@pytest.mark.parametrize("second", [("the processor", -1), ("the GPU", 4)], ids=["another meter", "not always there"])
def test_what_two_kinds_of_meters_counted_is_no_axis(tmp_path: Path, second: tuple[str, int]) -> None:
    study_of(tmp_path, {"resnet_mini": steady, "vit_mini": late})
    metered(tmp_path, "resnet_mini", "the GPU", 2000)
    metered(tmp_path, "vit_mini", second[0], 500, second[1])
    answer = curves(studied(tmp_path))
    (panel,) = answer["panels"]
    assert panel["meter"] is None and {point["joules"] for row in panel["rows"] for point in row["points"]} == {None}
    assert "curves-joules" not in shown(tmp_path, answer)


def test_what_rows_started_from_took_is_named_as_not_counted(tmp_path: Path) -> None:
    study = study_of(tmp_path, {"resnet_nano": steady})
    before = curves(studied(study))
    assert before["panels"][0]["trained_before"] == [] and "trained weights" not in shown(study, before)
    start = {"model__start_from": {"source": "runs/parent", "digest": "a" * 64}}
    study_of(study, {"vit_mini": steady}, of=start)
    found = curves(studied(study))
    assert found["panels"][0]["trained_before"] == ["vit_mini"]
    said = "vit_mini starts from trained weights: what these took, in epochs and time, is not counted"
    assert said in shown(study, found)
    printed = CliRunner().invoke(app, ["analyze", "curves", str(study)]).stdout
    assert said in " ".join(printed.split())


def test_without_metrics_it_is_said(tmp_path: Path) -> None:
    study_of(tmp_path, {"resnet_mini": steady})
    for file in tmp_path.rglob("metrics.jsonl"):
        file.unlink()
    with pytest.raises(UserError, match=r"no curves in .*metrics\.jsonl"):
        curves(studied(tmp_path))


def test_the_best_epoch_counts_where_the_run_keeps_it() -> None:
    run = RunCurve(0, (1, 2, 3), (50, 70, 60), None, None, None, best=True)
    assert [run.stopped(place) for place in range(3)] == [50, 70, 70]


def shown(study: Path, answer: dict[str, Any]) -> str:
    """The study's page, with the answer in its folder."""
    (study / "analysis").mkdir(exist_ok=True)
    write_json(study / "analysis" / "curves.json", answer)
    html = page(build_table(read_study(study)))
    assert 'id="analysis-curves"' in html
    return html
