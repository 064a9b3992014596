"""Somebody else's results join a study's table: scores, predictions, timm's CSV, and every way they can be wrong."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.page.page import page
from levelfield.runs import read_predictions, write_json, write_predictions
from levelfield.studies.results import others_results
from levelfield.studies.results.merge import add_predictions, merge_folders
from levelfield.studies.results.others_results import add_results
from levelfield.studies.results.study_rows import foreign_rows
from levelfield.tables import build_table
from levelfield.tables.read_folder import read_study
from levelfield.tables.text.json import to_json
from levelfield.tables.text.markdown import to_markdown
from levelfield.tables.text.timm_csv import BENCHMARK, RESULTS, to_timm_benchmark, to_timm_results
from synthetic_runs import profile_of, spec_of, write_run

Files = Callable[[dict[str, str]], Path]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study's folder of two rows, three seeds each, on 600 test images of cifar10."""
    out = tmp_path / "study"
    rows = []
    for model, skill in (("resnet_mini", 4.0), ("vit_mini", 3.2)):
        specs = [spec_of(model, seed) for seed in range(3)]
        for spec in specs:
            write_run(out / model / f"seed{spec.seed}", spec, skill, (1.2e6, 3e7, 1000, 100), images=600)
        runs = [f"{model}/seed{seed}" for seed in range(3)]
        declared = [specs[0].model_dump(mode="json", exclude={"execution"})]
        rows.append({"name": model, "label": "", "group": "", "notes": [], "runs": runs, "declared": declared})
    write_json(out / "study.json", {"name": "mini", "rows": rows})
    return out


@pytest.fixture
def files(tmp_path: Path) -> Files:
    def write(contents: dict[str, str]) -> Path:
        for name, text in contents.items():
            (tmp_path / "theirs" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "theirs" / name).write_text(text)
        return tmp_path / "theirs"

    return write


def predictions_csv(study: Path, change: Callable[[np.ndarray], None] = lambda cells: None) -> str:
    found = read_predictions(study / "vit_mini" / "seed0" / "predictions.parquet")
    cells = np.column_stack([found.index, found.label, found.probabilities.astype(np.float64)])
    change(cells)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["index", "label", *(f"p{number}" for number in range(10))])
    writer.writerows([int(line[0]), int(line[1]), *line[2:]] for line in cells.tolist())
    return text.getvalue()


SCORES = "row,seed,top1,top5,params,data,images\nours2,1,88.5,99.1,2000000,cifar10,600\n"
SCORES += "ours2,2,89.0,99.0,2000000,cifar10,600\nours2,3,88.1,99.2,2000000,cifar10,600\n"


def test_scores_are_rows_compared_by_the_same_rules_and_marked_everywhere(study: Path, files: Files) -> None:
    assert add_results(study, files({"scores.csv": SCORES})) == ["ours2"]
    table = build_table(read_study(study))
    row = table.rows[-1]
    assert row.title == "ours2 (not trained here)" and row.panel == "cifar10" and row.n == 3
    assert row.top1 is not None and row.top1.value == pytest.approx((88.5 + 89.0 + 88.1) / 3)
    assert row.means["params"] == 2e6 and row.means["top5"] == pytest.approx(99.1)
    assert not row.is_baseline and row.to_baseline is not None and row.to_baseline.low is not None
    assert table.panels["cifar10"].baseline == "resnet_mini"
    (found,) = [each for each in table.audit.of("unchecked") if each.check == "foreign"]
    assert "it was not trained here" in found.text and found.rows == ("ours2 (not trained here)",)
    for text in (to_markdown(table), page(table), str(to_json(table))):
        assert "ours2 (not trained here)" in text and "scores as somebody else states them" in text


def test_one_command_adds_them(study: Path, files: Files, tmp_path: Path) -> None:
    arguments = ["study", "merge", str(study), "--into", str(tmp_path / "both"), "--results"]
    told = CliRunner().invoke(app, [*arguments, str(files({"scores.csv": SCORES}))], catch_exceptions=False)
    assert told.exit_code == 0 and "not trained here: ours2" in told.stdout
    assert "ours2 (not trained here)" in to_markdown(build_table(read_study(tmp_path / "both")))
    merge_folders([tmp_path / "both"], tmp_path / "third")
    assert build_table(read_study(tmp_path / "third")).rows[-1].name == "ours2"


def test_predictions_are_checked_against_the_test_set_and_scored_anew(study: Path, files: Files) -> None:
    theirs = files({"predictions/a/one.csv": predictions_csv(study)})
    shutil.copy(study / "vit_mini" / "seed1" / "predictions.parquet", theirs / "predictions" / "a" / "two.parquet")
    assert add_results(study, theirs) == ["a"]
    own, row = build_table(read_study(study)).rows[1:]
    assert row.n == 2 and [run.result["top1"] for run in row.runs.finished] == [
        run.result["top1"] for run in own.runs.finished[:2]
    ]


def test_parquet_and_timms_columns_are_read(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parquet"
    folder.mkdir()
    pq.write_table(pa.table({"row": ["x", "x"], "seed": [0, 1], "top1": [90.0, 91.0]}), folder / "scores.parquet")
    assert add_results(study, folder) == ["x"]
    timm = tmp_path / "results-cifar10.csv"
    timm.write_text("model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation\n"
                    "hf-hub:a/b,91.5,8.5,99.5,0.5,11.18,32,1.0,bilinear\n")  # fmt: skip
    assert add_results(study, timm) == ["hf-hub-a-b"]
    rows = {row.name: row for row in build_table(read_study(study)).rows}
    assert rows["x"].n == 2 and rows["hf-hub-a-b"].means["params"] == pytest.approx(11.18e6)
    assert rows["hf-hub-a-b"].top1 is not None and rows["hf-hub-a-b"].top1.value == 91.5


def test_costs_come_from_timms_benchmark(study: Path, files: Files) -> None:
    benchmark = "model,infer_samples_per_sec,infer_gmacs,infer_macts,param_count\nx,1000.0,0.56,2.1,11.18\n"
    scores = "model,top1\nx,90\n"
    assert add_results(study, files({"scores.csv": scores, "benchmark.csv": benchmark})) == ["x"]
    row = build_table(read_study(study)).rows[-1]
    assert row.means["macs"] == pytest.approx(0.56e9) and row.means["params"] == pytest.approx(11.18e6)


BY_SIZE = "model,infer_img_size,infer_gmacs,param_count\nx,160,0.93,11.69\nx,224,1.82,11.69\nx,288,3.01,11.69\n"


def test_costs_of_timms_benchmark_are_those_at_the_networks_image_size(study: Path, files: Files) -> None:
    scores = "model,top1,img_size\nx.a1_in1k,90,224\n"
    assert add_results(study, files({"scores.csv": scores, "benchmark.csv": BY_SIZE})) == ["x.a1_in1k"]
    assert build_table(read_study(study)).rows[-1].means["macs"] == pytest.approx(1.82e9)


def test_costs_at_several_sizes_are_not_chosen_among(study: Path, files: Files) -> None:
    with pytest.raises(UserError, match=r"x at 160, 224, 288 px\nsay in a column img_size"):
        add_results(study, files({"scores.csv": "model,top1\nx,90\n", "benchmark.csv": BY_SIZE}))


def test_parameters_with_a_comma_are_read_as_timm_writes_them(study: Path, tmp_path: Path) -> None:
    (tmp_path / "timm.csv").write_text('model,top1,param_count\na,89.786,"1,014.45"\n')
    add_results(study, tmp_path / "timm.csv")
    assert build_table(read_study(study)).rows[-1].means["params"] == pytest.approx(1014.45e6)


def test_scores_of_which_no_test_set_is_stated_say_so(study: Path, files: Files) -> None:
    add_results(study, files({"scores.csv": SCORES + "b,1,88,,,,\n"}))
    notes = {row.name: row.runs.row.notes for row in build_table(read_study(study)).rows}
    assert "is not stated: taken for that of the rows here" in " ".join(notes["b"])
    assert "is not stated" not in " ".join(notes["ours2"])


def test_a_run_that_stands_twice_is_refused_or_kept_once(study: Path, files: Files, tmp_path: Path) -> None:
    twice = files({"predictions/a/one.csv": predictions_csv(study), "predictions/a/two.csv": predictions_csv(study)})
    with pytest.raises(UserError, match=r"one\.csv and .*two\.csv hold the same predictions"):
        add_results(study, twice)
    theirs = study / "vit_mini" / "seed0" / "predictions.parquet"
    shutil.copy(theirs, tmp_path / "copy.parquet")
    assert add_predictions(study, "a", theirs) == add_predictions(study, "a", tmp_path / "copy.parquet")
    assert build_table(read_study(study)).rows[-1].n == 1


def test_a_row_with_runs_on_two_test_sets_is_refused(study: Path, files: Files) -> None:
    spec = spec_of("resnet_mini", 0, "cifar100")
    other = write_run(study / "there" / "seed0", spec, 4.0, images=500)
    more = {"name": "there", "label": "", "group": "", "notes": [], "runs": ["there/seed0"],
            "declared": [spec.model_dump(mode="json", exclude={"execution"})]}  # fmt: skip
    known = json.loads((study / "study.json").read_text())
    write_json(study / "study.json", known | {"rows": [*known["rows"], more]})
    with pytest.raises(UserError, match="a has runs on cifar10 and on cifar100"):
        add_results(study, files({"scores.csv": "row,seed,top1,data\na,0,90,cifar10\na,1,60,cifar100\n"}))
    theirs = files({"scores.csv": SCORES, "predictions/b/one.csv": predictions_csv(study)})
    shutil.copy(other.path / "predictions.parquet", theirs / "predictions" / "b" / "two.parquet")
    with pytest.raises(UserError, match="b has runs on cifar10 and on cifar100"):
        add_results(study, theirs)
    assert not foreign_rows(study)
    add_predictions(study, "c", other.path / "predictions.parquet")
    with pytest.raises(UserError, match="c has runs on cifar100 and on cifar10"):
        add_predictions(study, "c", study / "vit_mini" / "seed0" / "predictions.parquet")


def test_predictions_beside_scores_would_not_count_and_are_refused(study: Path, files: Files) -> None:
    add_results(study, files({"scores.csv": SCORES}))
    with pytest.raises(UserError, match="'ours2' has scores"):
        add_predictions(study, "ours2", study / "vit_mini" / "seed0" / "predictions.parquet")


def test_a_row_of_which_not_all_could_be_written_is_none(
    study: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = files({"predictions/a/one.csv": predictions_csv(study)})
    shutil.copy(study / "vit_mini" / "seed1" / "predictions.parquet", theirs / "predictions" / "a" / "two.parquet")
    written = []

    def interrupted(path: Path, predictions: object) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write_predictions(path, predictions)  # type: ignore[arg-type]

    monkeypatch.setattr(others_results, "write_predictions", interrupted)
    with pytest.raises(KeyboardInterrupt):
        add_results(study, theirs)
    assert written and not foreign_rows(study)
    monkeypatch.undo()
    assert add_results(study, theirs) == ["a"] and build_table(read_study(study)).rows[-1].n == 2


def test_a_column_that_begins_with_p_is_no_class(study: Path, files: Files) -> None:
    lines = predictions_csv(study).splitlines()
    text = "\n".join([lines[0].strip() + ",path", *(line.strip() + ",a.png" for line in lines[1:])])
    assert add_results(study, files({"predictions/a/one.csv": text})) == ["a"]


def wrong_label(cells: np.ndarray) -> None:
    cells[0, 1] = (cells[0, 1] + 1) % 10


def wrong_sum(cells: np.ndarray) -> None:
    cells[3, 2:] = 0.9


def wrong_index(cells: np.ndarray) -> None:
    cells[1, 0] = cells[0, 0]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"notes.txt": "x"}, "holds no results"),
        ({"scores.csv": "name,accuracy\na,90\n"}, "no row and top1"),
        ({"scores.csv": "row,seed,top1\na,0,ninety\n"}, "line 2: top1 'ninety' is not percent"),
        ({"scores.csv": "row,seed,top1\na,0,190\n"}, "line 2: top1 '190' is not percent"),
        ({"scores.csv": "row,seed,top1\na,0,\n"}, "top1 is empty"),
        ({"scores.csv": "row,seed,top1,top5\na,0,90,80\n"}, "top5 80 is below top1 90"),
        ({"scores.csv": "row,seed,top1\na,0,90\na,0,91\n"}, "line 3: a has seed 0 twice"),
        ({"scores.csv": "row,seed,top1\na,1,90\na,1.0,91\n"}, "line 3: a has seed 1 twice"),
        ({"scores.csv": "row,top1\na,90\na,91\n"}, "line 3: a stands there twice without a seed"),
        ({"scores.csv": "row,seed,top1\nb,0,90\na,0,0.9\na,1,0.912\n"}, "a has no top1 above 0.912 percent"),
        ({"scores.csv": "row,seed,top1\nvit_mini,0,90\n"}, "is a row of mini itself"),
        ({"scores.csv": "row,seed,top1\na/../b,0,90\n"}, "cannot be a folder's name"),
        ({"scores.csv": "row,seed,top1,data\na,0,90,cifar100\n"}, "it is of cifar100"),
        ({"scores.csv": "row,seed,top1,images\na,0,90,10000\n"}, "tested on 10,000 images, and cifar10 has 600 here"),
        ({"scores.csv": "row,seed,top1,params\na,0,90,many\n"}, "params 'many' is not a number"),
        ({"scores.csv": 'row,seed,top1\n"a,0,90\n'}, "cannot be read as CSV"),
        ({"scores.csv": "row,seed,top1\na,0,90\n", "predictions/a/x.csv": ""}, "holds no predictions"),
        ({"scores.csv": "row,seed,top1\na,0,90\n", "benchmark.csv": "name,speed\na,3\n"}, "is no benchmark of timm's"),
        ({"predictions/a/x.txt": ""}, "holds no .parquet and no .csv"),
        ({"predictions/a/x.parquet": "text"}, "cannot be read as predictions"),
        ({"predictions/a/x.csv": "index,label,predicted\n0,1,1\n"}, "holds no predictions"),
        ({"predictions/a/x.csv": "index,label,p0,p1\n0,0,1,\n"}, "cannot be read as predictions"),
        ({"predictions/a/x.csv": "index,label,p0,p1\n0,0,1,0\n"}, "it has 2 classes, not 10"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_kept(
    study: Path, files: Files, contents: dict[str, str], message: str
) -> None:
    before = (study / "study.json").read_text()
    with pytest.raises(UserError, match=message):
        add_results(study, files(contents))
    assert (study / "study.json").read_text() == before and not (study / "foreign").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [(wrong_label, "labels of 1 images"), (wrong_sum, "sum of 1"), (wrong_index, "an index twice")],
)
def test_predictions_of_other_images_are_refused(
    study: Path, files: Files, change: Callable[[np.ndarray], None], message: str
) -> None:
    theirs = files({"scores.csv": SCORES, "predictions/b/x.csv": predictions_csv(study, change)})
    with pytest.raises(UserError, match=message):
        add_results(study, theirs)
    assert not (study / "foreign").exists()


def test_a_row_is_added_once_and_not_as_both(study: Path, files: Files) -> None:
    theirs = files({"scores.csv": SCORES})
    add_results(study, theirs)
    with pytest.raises(UserError, match="already"):
        add_results(study, theirs)
    both = files({"scores.csv": SCORES.replace("ours2", "both"), "predictions/both/x.csv": predictions_csv(study)})
    with pytest.raises(UserError, match="has scores and predictions"):
        add_results(study, both)


def test_a_table_is_written_in_timms_columns_and_read_again(study: Path, tmp_path: Path) -> None:
    write_json(study / "costs.json", [profile_of("resnet_mini", 1000.0, 200.0)])
    table = build_table(read_study(study))
    results = list(csv.DictReader(io.StringIO(to_timm_results(table))))
    assert tuple(results[0]) == RESULTS and [line["model"] for line in results] == ["resnet_mini", "vit_mini"]
    for line, row in zip(results, table.measured, strict=True):
        assert row.top1 is not None and float(line["top1"]) == pytest.approx(row.top1.value, abs=5e-4)
        assert float(line["top1"]) + float(line["top1_err"]) == pytest.approx(100)
        assert (line["param_count"], line["img_size"], line["crop_pct"]) == ("1.20", "32", "1")
        assert line["interpolation"] == "bilinear"
    first, second = csv.DictReader(io.StringIO(to_timm_benchmark(table)))
    assert tuple(first) == BENCHMARK
    assert (first["infer_samples_per_sec"], first["infer_batch_size"], first["infer_gmacs"]) == (
        "1000.00",
        "64",
        "0.0300",
    )
    assert second["infer_samples_per_sec"] == "" and second["infer_gmacs"] == "0.0300"
    told = CliRunner().invoke(app, ["report", str(study), "--format", "timm-results"], catch_exceptions=False)
    assert told.stdout == to_timm_results(table)
    (tmp_path / "timm.csv").write_text(told.stdout.replace("resnet_mini", "a").replace("vit_mini", "b"))
    assert add_results(study, tmp_path / "timm.csv") == ["a", "b"]
    again = build_table(read_study(study))
    assert to_timm_results(again) == to_timm_results(table)  # somebody else's are not ours to hand on
    rows = {row.name: row for row in again.rows}
    one, two = rows["a"].top1, rows["resnet_mini"].top1
    assert one is not None and two is not None and one.value == pytest.approx(two.value, abs=5e-4)


def test_a_file_of_timms_is_of_one_test_set(tmp_path: Path) -> None:
    for data in ("cifar10", "cifar100"):
        for seed in range(2):
            write_run(tmp_path / data / f"seed{seed}", spec_of("resnet_mini", seed, data), 4.0)
    table = build_table(read_study(tmp_path))
    with pytest.raises(UserError, match="is of one test set, and these rows have 2: "):
        to_timm_results(table)
    assert len(list(csv.DictReader(io.StringIO(to_timm_benchmark(table))))) == 2
