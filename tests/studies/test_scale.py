"""`levelfield scale`: which rows its study has, the whole way, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.cost import count_macs
from levelfield.data.sources.catalog import entry
from levelfield.errors import UserError
from levelfield.models import on_meta
from levelfield.studies.declared.planned_runs import planned_rows
from levelfield.studies.declared.scale_study import ScaleStudy
from levelfield.studies.declared.study import StudySpec


def run(*arguments: object) -> str:
    told = CliRunner().invoke(app, ["scale", *map(str, arguments)], catch_exceptions=False)
    assert told.exit_code == 0, told.stderr
    return told.stdout


def test_all_combinations_are_rows_and_each_network_is_a_curve() -> None:
    study = ScaleStudy(("resnet_nano", "vit_mini"), "digits", "cpu-fast", (0.5, 1.0), (), (1.0, 3.0), (0.5, 1.0), 1000)
    spec = StudySpec.parse({"name": "a"} | study.study(), "a")
    rows = {row.name: row.spec for row in planned_rows(spec)}
    assert len(rows) == 16 and spec.baseline == "resnet_nano-w1-e3-s1"
    assert spec.curves == {model: tuple(name for name in rows if name.startswith(model)) for model in study.models}
    small = rows["vit_mini-w0.5-e1-s0.5"]
    assert small.model.options == {"width_factor": 0.5} and small.budget.epochs == 1 and small.data.train_limit == 500
    whole = rows["vit_mini-w1-e3-s1"]
    assert whole.model.options == {} and whole.data.train_limit is None  # the very run that other studies have


def test_widths_and_depths_make_networks_of_other_sizes() -> None:
    study = ScaleStudy(("resnet_nano",), "digits", "cpu-fast", (0.5, 1.0, 2.0), (1.0, 2.0))
    spec = StudySpec.parse({"name": "a"} | study.study(), "a")
    macs = {
        row.name: count_macs(on_meta("resnet_nano", 10, 8, **row.spec.model.options), 8).total
        for row in planned_rows(spec)
    }
    assert len(set(macs.values())) == 6
    assert (
        macs["resnet_nano-w0.5-d1"] < macs["resnet_nano-w1-d1"] < macs["resnet_nano-w1-d2"] < macs["resnet_nano-w2-d2"]
    )


def test_one_command_writes_runs_and_judges(tmp_path: Path) -> None:
    file, out = tmp_path / "s.yaml", tmp_path / "out"
    arguments = ["resnet_nano", "vit_mini", "--widths", "0.25,0.5", "--data", "0.2,1", "--seeds", 2, "--recipe",
                 "digits-fast", "--set", "budget.steps=2", "--set", "data.test_limit=100", "--yes"]  # fmt: skip
    said = run(*arguments, "--file", file, "--out", out, "--json")
    (found,) = json.loads(said)["scaling"]
    assert {(on["factor"], on["cost"]) for on in found["curves"]} >= {("width", "params"), ("width", "macs")}
    digits = entry("digits")
    assert digits is not None and digits.train is not None
    written = yaml.safe_load(file.read_text())
    limits = {row.get("set", {}).get("data.train_limit") for row in written["rows"]}
    assert limits == {None, round(0.2 * digits.train)}
    assert 'id="scaling"' in (out / "report.html").read_text()
    report = CliRunner().invoke(app, ["report", str(out), "--json", "--no-images"], catch_exceptions=False)
    assert json.loads(report.stdout)["scaling"] == [found]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet_nano"], "a curve needs two sizes"),
        (["resnet_nano", "--widths", "0.5,wide"], "--widths '0.5,wide' is no list of numbers"),
        (["resnet_nano", "--widths", "0.5,nan"], "is no list of numbers"),
        (["resnet_nano", "--widths", "0.5,0.5"], "--widths names 0.5 twice"),
        (["resnet_nano", "--depths", "0,1"], "--depths 0 must be a positive number"),
        (["resnet_nano", "resnet_nano", "--widths", "1,2"], "ROWS names resnet_nano twice"),
        (["resnet_nano", "--data", "0.5,2"], "must be a share of the training images"),
        (["resnet_nano", "--data", "0.5"], "is one share of the data"),
        (["resnet_nanno", "--widths", "1,2"], "did you mean"),
        (["timm:vit_tiny_patch16_224", "--widths", "1,2"], "has no option 'width_factor'"),
        (["resnet_nano", "--widths", "1,2", "--extrapolate", "1"], "--extrapolate 1 must be more than 1"),
        (
            ["resnet_nano", "--widths", "1,2", "--set", "model.options.width_factor=2"],
            "--set model.options.width_factor",
        ),
        (["resnet_nano", "--epochs", "1,2", "--set", "budget.epochs=3"], "would change what --epochs varies"),
        (["resnet_nano", "--epochs", "1,2", "--set", "budget={steps: 3}"], "would change what --epochs varies"),
        (["resnet_nano", "--data", "0.5,1", "--set", "data.train_limit=9"], "would change what --data varies"),
        (["resnet_nano", "--data", "0.5,1", "--set", "data=cifar10"], "would change what --data varies"),
        (["resnet_nano", "--widths", "1,2", "--file", "study.txt"], "must end in .yaml"),
    ],
)
def test_bad_input(arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        run(*arguments, "--only-write")
    assert list(tmp_path.iterdir()) == []


def test_one_seed_is_said_to_judge_nothing_before_anything_is_trained(tmp_path: Path) -> None:
    arguments = ["scale", "resnet_nano", "--widths", "0.5,1", "--only-write", "--file", str(tmp_path / "a.yaml")]
    one, three = (CliRunner().invoke(app, [*arguments, "--seeds", seeds], catch_exceptions=False) for seeds in "13")
    assert one.exit_code == three.exit_code == 0
    assert "no curve can be judged: --seeds 2" in one.output and "judged" not in three.output


def test_a_curve_names_rows_that_there_are_and_each_once() -> None:
    study = {"name": "a", "data": "digits", "models": ["resnet_nano"], "scaling": {"curves": {"r": ["resnet_nana"]}}}
    with pytest.raises(UserError, match="scaling r"):
        planned_rows(StudySpec.parse(study, "a"))
    with pytest.raises(UserError, match="named twice"):
        StudySpec.parse(study | {"scaling": {"curves": {"r": ["resnet_nano"], "q": ["resnet_nano"]}}}, "a")
