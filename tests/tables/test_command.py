"""`levelfield report` as a user calls it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.tables import StudyRows, read_study
from synthetic_runs import spec_of, write_run


def root_of(study: StudyRows) -> Path:
    assert study.path is not None
    return study.path


def test_it_prints_the_table_and_writes_the_page(study: StudyRows, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    found = CliRunner().invoke(app, ["report", str(root_of(study)), "--out", str(page), "--no-images"])
    assert found.exit_code == 0, found.output
    assert "resnet_mini" in found.stdout
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(("form", "starts"), [("md", "**Fairness"), ("csv", "row,"), ("latex", r"\begin{tabular}")])
def test_forms(study: StudyRows, form: str, starts: str, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["report", str(root_of(study)), "--format", form])
    assert found.stdout.startswith(starts)
    file = tmp_path / "table"
    assert CliRunner().invoke(app, ["report", str(root_of(study)), "-f", form, "-o", str(file)]).exit_code == 0
    assert file.read_text(encoding="utf-8") == found.stdout


def test_json_leaves_nothing_else_on_stdout(study: StudyRows) -> None:
    found = CliRunner().invoke(app, ["report", str(root_of(study)), "--json", "--baseline", "vit_mini"])
    rows = json.loads(found.stdout)["rows"]
    assert [row["row"] for row in rows if row["baseline"]] == ["vit_mini"]


def test_the_margin_and_the_rule_are_options(study: StudyRows) -> None:
    def found(*options: str) -> dict[str, Any]:
        return json.loads(CliRunner().invoke(app, ["report", str(root_of(study)), "--json", *options]).stdout)

    usual, strict = found(), found("--margin", "0.25", "--verdict", "strict")
    assert (usual["margin"], usual["verdict_rule"]) == (0.5, "usual")
    assert (strict["margin"], strict["verdict_rule"]) == (0.25, "strict")
    assert {pair["margin"] for pair in strict["pairs"]} == {0.25}
    claimed = [sum(pair["different"] for pair in one["pairs"]) for one in (usual, strict)]
    assert claimed[0] > claimed[1] == 0  # three seeds a row


def test_the_commands_of_a_table_decide_it_by_its_rule(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "seed0", spec_of("a"), images=50)
    trained = "levelfield study run 's 1.yaml' --scale smoke --margin 0.3"
    lines = [f"{trained} --seeds 0-4 --row a", f"{trained} --row b"]
    asked = {"study": "s", "source": "s 1.yaml", "usual": [0], "margin": 0.3}
    study = {"name": "s", "asked": asked, "command": "\n".join(lines), "rows": [{"name": "a", "runs": ["a/seed0"]}]}
    (tmp_path / "study.json").write_text(json.dumps(study))

    def shown(*options: str) -> list[str]:
        found = CliRunner().invoke(app, ["report", str(tmp_path), "--json", *options])
        return str(json.loads(found.stdout)["command"]).splitlines()

    assert shown() == lines
    bare = [line.replace(" --margin 0.3", "") for line in lines]
    assert shown("--margin", "0.25") == [f"{line} --margin 0.25" for line in bare]
    assert shown("--margin", "0.5", "--verdict", "strict") == [f"{line} --verdict strict" for line in bare]
    assert shown("--margin", "0.5") == bare
    assert CliRunner().invoke(app, ["report", str(tmp_path), "--no-images", "--margin", "0.25"]).exit_code == 0
    assert shown() == [f"{line} --margin 0.25" for line in bare]
    assert "--margin 0.25" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_rule_of_the_page_in_a_study_s_folder_is_kept_there(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "seed0", spec_of("a"), images=50)
    asked = {"study": "s", "source": "s.yaml", "seeds": {"a": [0]}, "usual": [0, 1]}
    study = {"name": "s", "asked": asked, "rows": [{"name": "a", "runs": ["a/seed0"]}]}
    (tmp_path / "study.json").write_text(json.dumps(study))

    def run(*options: str) -> None:
        assert CliRunner().invoke(app, ["report", str(tmp_path), "--no-images", *options]).exit_code == 0

    run("--json", "--verdict", "strict")
    run("--out", str(tmp_path / "other.html"), "--format", "html", "--margin", "0.3")
    assert json.loads((tmp_path / "study.json").read_text()) == study  # nothing of the folder's page was changed
    run("--verdict", "strict", "--margin", "0.25")
    kept = json.loads((tmp_path / "study.json").read_text())
    assert kept == {**study, "asked": {**asked, "verdict": "strict", "margin": 0.25}}
    assert (read_study(tmp_path).verdict, read_study(tmp_path).margin) == ("strict", 0.25)
    run("--verdict", "usual")
    assert (read_study(tmp_path).verdict, read_study(tmp_path).margin) == ("usual", 0.25)


@pytest.mark.parametrize("margin", ["0", "-1", "100"])
def test_a_margin_that_cannot_be(study: StudyRows, margin: str) -> None:
    error = CliRunner().invoke(app, ["report", str(root_of(study)), "--margin", margin]).exception
    assert isinstance(error, UserError) and f"within {margin} points" in str(error) and "--margin 0.5" in str(error)


@pytest.mark.parametrize("margin", ["nan", "inf"])
def test_a_margin_that_is_no_number(study: StudyRows, margin: str) -> None:
    result = CliRunner().invoke(app, ["report", str(root_of(study)), "--margin", margin])
    assert result.exit_code == 2 and margin in result.output


def test_a_folder_without_runs_is_a_user_error(tmp_path: Path) -> None:
    assert isinstance(CliRunner().invoke(app, ["report", str(tmp_path)]).exception, UserError)
