"""What is printed to make a run again makes it again: read back, the same identity; carried out, the same bytes."""

from __future__ import annotations

import json
import re
import shlex
from html import unescape
from pathlib import Path

import pytest
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.cli.train import assemble
from levelfield.page.sections.reproduce import reproduce
from levelfield.paper.checklist_tex import reproducible
from levelfield.paper.ledger import Ledger
from levelfield.runs import RunFolder, find_runs, write_json
from levelfield.spec import RunSpec, list_recipes, load_recipe
from levelfield.studies.declared.study_file import list_studies
from levelfield.study import Study
from levelfield.tables import Row, StudyRows, build_table, read_study
from levelfield.tables.reproduce import printed, setups, without_data_place
from synthetic_runs import spec_of, write_run

RESULTS = Path(__file__).parents[2] / "results"
STUDIES = sorted(path.parent for path in RESULTS.glob("*/*/study.json"))


def read_back(text: str, folder: Path) -> RunSpec:
    """`text` as `levelfield train --config` reads it."""
    (folder / "printed.json").write_text(text)
    return assemble(folder / "printed.json", None, None, None, None, [], [])


@pytest.mark.parametrize("name", list_studies())
def test_every_row_of_every_shipped_study_is_read_back_as_it_was_printed(name: str, tmp_path: Path) -> None:
    study = Study.load(name)
    for scale in dict.fromkeys(("full", *study.scales)):
        for row in study.planned_rows(scale):
            assert read_back(printed(row.spec), tmp_path) == row.spec, (scale, row.name)


@pytest.mark.parametrize("name", list_recipes())
def test_every_shipped_recipe_is_read_back_as_it_was_printed(name: str, tmp_path: Path) -> None:
    spec = RunSpec.parse(
        {
            "model": {"name": "resnet_mini", "options": {"note": "1e5", "digest": "12e3"}},
            "data": {"name": "cifar10"},
            "recipe": load_recipe(name).recipe.model_dump(mode="json"),
            "budget": {"epochs": 3},
        }
    )
    assert read_back(printed(spec), tmp_path) == spec


@pytest.mark.parametrize("folder", STUDIES, ids=lambda path: path.name)
def test_every_committed_run_has_the_same_identity_in_what_its_page_prints(folder: Path, tmp_path: Path) -> None:
    table = build_table(read_study(folder))
    found = setups(table)
    for row in table.rows:
        runs = {run.seed: run for run in row.runs.finished}
        commands = [command for setup in found.get(row.name, ()) for command in setup.commands]
        assert len(commands) == (len(runs) or 1)
        for setup in found[row.name]:
            (tmp_path / setup.file).write_text(setup.configuration)
            for command in setup.commands:
                spec = as_read(shlex.split(command), tmp_path)
                if spec.seed in runs:
                    run = runs[spec.seed]
                    assert run.spec is not None
                    assert spec.identity() == run.spec.identity()
                    assert spec.execution.threads == (run.folder.environment()["threads"] if run.folder else None)


def as_read(words: list[str], folder: Path) -> RunSpec:
    """The run that a printed `levelfield train` command describes."""
    assert words[:2] == ["levelfield", "train"]
    options: dict[str, list[str]] = {}
    for option, value in zip(words[2::2], words[3::2], strict=True):
        options.setdefault(option, []).append(value)
    assert set(options) <= {"--config", "--seed", "--set", "--out", "--data-dir"}
    seed = None if "--seed" not in options else int(options["--seed"][0])
    return assemble(folder / options["--config"][0], None, None, None, seed, options.get("--set", []), [])


def test_a_run_is_reproduced_to_the_bit_from_its_page_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second stage too, whose first is on the same page: two seeds, two stages, four runs, equal bytes."""
    recipe = {
        "optimizer": {"name": "sgd", "lr": 0.05, "nesterov": True, "momentum": 0.9},
        "schedule": {"name": "cosine"},
        "augment": {"crop": {"name": "pad_crop", "padding_px": 1}, "policy": {"name": "trivial_augment_wide"}},
        "batch_size": 64, "precision": "fp32", "validation": 0, "budget": {"steps": 3},
    }  # fmt: skip
    write_json(tmp_path / "small.yaml", recipe)
    study = {
        "data": {"name": "digits", "image_size": 16, "train_limit": 200, "test_limit": 60},
        "recipes": "small.yaml",
        "seeds": 2,
        "rows": [
            {"model": "resnet_nano", "name": "first"},
            {"model": "resnet_nano", "name": "second", "after": "first", "set": {"budget.steps": 2}},
        ],
    }
    write_json(tmp_path / "mine.yaml", study)
    Study.load(tmp_path / "mine.yaml").run(tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    section = re.findall(r'<section id="reproduce">.*?</section>', page, re.DOTALL)[0]
    commands: list[str] = []
    for block in re.findall(r"<details.*?</details>", section, re.DOTALL):
        codes = [unescape(found) for found in re.findall(r"<code>(.*?)</code>", block, re.DOTALL)]
        files = re.findall(r'<p class="note">([^<\s]+\.json):</p>', block)
        assert len(codes) == 2 and len(files) == 1
        commands += codes[0].splitlines()
        (elsewhere / files[0]).write_text(codes[1])
    assert len(commands) == 4
    for command in commands:
        name, *arguments = shlex.split(command)
        assert name == "levelfield"
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    made = {run.identity: run.weights.read_bytes() for run in find_runs(elsewhere)}
    there = {run.identity: run.weights.read_bytes() for run in find_runs(tmp_path / "out")}
    assert len(there) == 4 and made == there


def test_files_have_names_of_their_own_and_runs_of_other_settings_are_not_printed_as_one(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"a{s}", spec_of("resnet_mini", s, recipe__precision=p)) for s, p in
            ((0, "fp32"), (1, "fp32"), (2, "bf16"))]  # fmt: skip
    other = write_run(tmp_path / "b", spec_of("vit_mini"))
    found = setups(build_table([Row("a / b", runs=tuple(runs)), Row("a - b", runs=(other,))]))
    assert [len(setup.commands) for setup in found["a / b"]] == [2, 1]
    files = [setup.file for each in found.values() for setup in each]
    assert len(set(files)) == 3
    outs = [command.split("--out ")[1] for each in found.values() for setup in each for command in setup.commands]
    assert len(set(outs)) == 4


def test_what_no_command_makes_again_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", spec_of("resnet_mini"))
    write_json(run.path / "run.json", {**run.description(), "reproducible": "not reproducible by name"})
    moved = write_run(tmp_path / "b", spec_of("vit_mini"))
    write_json(moved.path / "run.json", {**moved.description(), "identity": "0" * 64})
    found = setups(build_table([Row("own", runs=(run,)), Row("moved", runs=(moved,))]))
    assert found["own"][0].commands == () and "no command makes it again" in found["own"][0].notes[0]
    assert "makes another run of it" in found["moved"][0].notes[0]


def test_the_place_of_the_data_is_in_the_command_and_not_in_the_file(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a")
    write_run(run.path, spec_of("resnet_mini", execution__data_dir="/home/me/my data"))
    html = unescape(reproduce(build_table(StudyRows("one", (Row("a", runs=(run,)),)))).body)
    assert "--data-dir '/home/me/my data'" in html
    assert (
        json.loads(setups(build_table([Row("a", runs=(run,))]))["a"][0].configuration)["execution"]["data_dir"] is None
    )


def test_what_others_read_names_no_place_of_this_machine(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a")
    write_run(run.path, spec_of("resnet_mini", execution__data_dir="/home/me/my data"))
    command = "levelfield study run 'my study.yaml' --data-dir '/home/me/my data' --seeds 0:3\nlevelfield data list"
    assert without_data_place(command) == "levelfield study run 'my study.yaml' --seeds 0:3\nlevelfield data list"
    table = build_table(StudyRows("one", (Row("a", runs=(run,)),), command=command))
    assert "`levelfield study run" in reproducible(table)[1] and "/home/me" not in reproducible(table)[1]
    assert "/home/me" not in json.dumps(Ledger(table).as_json())
