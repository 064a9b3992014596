"""What was asked for stays asked for: a command that is not told it again is right all the same, or refused."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.runs import find_runs, write_json
from levelfield.studies.declared.seeds import parse_seeds
from levelfield.studies.results.merge import merge_folders
from levelfield.studies.results.study_request import commands, read_request, settle
from levelfield.studies.results.write_outputs import report_study
from levelfield.study import Study
from levelfield.tables import build_table, read_study

Write = Callable[..., Path]
PLUGIN = """
import torch, levelfield
@levelfield.register_model("{name}")
class Net(torch.nn.Sequential):
    def __init__(self, num_classes: int = 10):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, {width}), torch.nn.{act}(),
                         torch.nn.Linear({width}, num_classes))
"""


def call(*arguments: object) -> Any:
    result = CliRunner().invoke(app, ["study", *map(str, arguments)], catch_exceptions=False)
    return json.loads(result.stdout) if "--json" in arguments else result


def weights(out: Path) -> dict[str, bytes]:
    return {run.identity: run.weights.read_bytes() for run in find_runs(out)}


def test_nothing_must_be_said_twice_to_be_right(study_file: Write, tmp_path: Path) -> None:
    """Changes, plugin, seeds and scale of the run are those of report, status, plan, pick and rm."""
    plugin = tmp_path / "net.py"
    plugin.write_text(PLUGIN.format(name="asked_net1", width=8, act="ReLU"))
    path = study_file(models=["resnet_nano", "asked_net1"], scales={"cpu": {"set": {"budget.steps": 4}}})
    out = tmp_path / "out"
    ran = ("run", path, "--out", out, "--scale", "cpu", "--set", "budget.steps=2", "--plugin", plugin, "--yes")
    first = call(*ran, "--seeds", "5-6", "--json")
    assert [row["seeds"] for row in first["rows"]] == [2, 2]
    files = {file: (out / file).read_bytes() for file in ("study.json", "results.json")}

    at = (path, "--out", out)
    assert call("report", *at, "--json")["rows"] == first["rows"]
    assert {file: (out / file).read_bytes() for file in files} == files
    for command in (("status", *at), ("plan", *at, "--no-probe")):
        runs = call(*command, "--json")["runs"]
        assert {(run["seed"], run["state"]) for run in runs} == {(5, "finished"), (6, "finished")}
    assert call("pick", *at, "--json")["row"] in ("resnet_nano", "asked_net1")
    assert "nothing to remove" in call("rm", *at).stdout
    table = build_table(read_study(out))
    assert table.study.notes == ("changed on the command line: budget.steps=2",)

    for unsaid in (
        ran[:4] + ran[6:],
        ran[:6] + ran[8:],
        ran[:8] + ("--yes",),
        (*ran[:6], "--set", "execution.workers=0", *ran[8:]),
    ):
        with pytest.raises(UserError, match="says nothing of it"):
            call(*unsaid)
    with pytest.raises(UserError, match="at scale 'cpu', not 'full'"):
        call("report", *at, "--scale", "full")
    assert {file: (out / file).read_bytes() for file in files} == files


def test_a_table_of_other_settings_is_shown_and_not_written(
    copied: tuple[Study, Path], finished: tuple[Path, Path]
) -> None:
    out = copied[1]
    before = {file.name: file.read_bytes() for file in out.glob("*.*")}
    other = call("report", finished[0], "--out", out, "--set", "budget.steps=1", "--json")
    assert {row["status"] for row in other["rows"]} == {"not run"}
    assert {file.name: file.read_bytes() for file in out.glob("*.*")} == before


def test_a_folder_holds_one_study(copied: tuple[Study, Path], study_file: Write) -> None:
    other = Study.load(study_file(name="another"))
    with pytest.raises(UserError, match="holds study 'tiny', not 'another'"):
        report_study(other, copied[1])
    with pytest.raises(UserError, match="holds study 'tiny', not 'another'"):
        other.run(copied[1])


def test_the_printed_command_makes_the_whole_table(
    study_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file study with changes, a plugin, seeds of some rows only: carried out elsewhere, the same runs."""
    (tmp_path / "my nets.py").write_text(PLUGIN.format(name="asked_net2", width=8, act="ReLU"))
    path = study_file(models=["resnet_nano", "asked_net2"], seeds=1, name="other-than-its-file")
    monkeypatch.chdir(tmp_path)
    study = Study.load(path)
    given = {
        "overrides": ["budget.steps=2", "recipe.mix={mixup_alpha: 0.2}"],
        "plugins": ["my nets.py"],
        "data_dir": ".",
    }
    study.run("here", **given)
    study.run("here", seeds=[0, 3], only=["asked_net2"], **given)
    printed = build_table(read_study(Path("here"))).study.command
    assert len(printed.splitlines()) == 2 and "--row asked_net2" in printed
    assert printed in (tmp_path / "here" / "report.html").read_text().replace("&#x27;", "'")
    for line in printed.splitlines():
        name, *arguments = shlex.split(line)
        assert name == "levelfield"
        assert CliRunner().invoke(app, [*arguments, "--yes"], catch_exceptions=False).exit_code == 0
    assert weights(tmp_path / "runs") == weights(tmp_path / "here")


@pytest.mark.parametrize("seeds", [(0, 1, 2), (7,), (0,), (1, 2), (0, 4, 7)])
def test_seeds_are_printed_as_they_are_read(seeds: tuple[int, ...], study_file: Write, tmp_path: Path) -> None:
    words = shlex.split(commands(settle(Study.load(study_file(seeds=9)), tmp_path / "new"), {"a": seeds}))
    assert parse_seeds(words[words.index("--seeds") + 1]) == seeds


def test_an_edited_plugin_is_another_network(study_file: Write, tmp_path: Path) -> None:
    """The old runs are named as stale and not counted, by every command, and a seed more never joins them."""
    plugin, out = tmp_path / "net.py", tmp_path / "out"
    path = study_file(models=["asked_net3"], baseline=None)
    options = ("--out", out, "--plugin", plugin)
    plugin.write_text(PLUGIN.format(name="asked_net3", width=8, act="ReLU"))
    call("run", path, *options, "--yes")
    plugin.write_text(PLUGIN.format(name="asked_net3", width=8, act="Tanh"))
    assert {run["state"] for run in call("status", path, "--out", out, "--json")["runs"]} == {"missing"}
    assert (
        "stale, not counted: seed 0, seed 1 (runs of another content of the plugin)"
        in call("status", path, "--out", out).stdout
    )
    (row,) = call("report", path, "--out", out, "--json")["rows"]
    assert (row["seeds"], row["status"]) == (0, "not run")
    table = Study.load(path).run(out, seeds=[2], plugins=[str(plugin)])
    assert [run.seed for run in table.rows[0].runs.finished] == [2]
    assert "stale, not counted: seed 0, seed 1" in " ".join(table.rows[0].runs.row.notes)
    assert call("rm", path, "--out", out, "--yes").stdout.count("of another content of the plugin") == 2
    assert len(find_runs(out)) == 1


def draw(folder: Path, shade: int) -> None:
    """Twelve images a class and split, which differ in shade."""
    from PIL import Image

    for split in ("train", "test"):
        for label in ("dark", "light"):
            (folder / split / label).mkdir(parents=True, exist_ok=True)
            for i in range(12):
                level = (20 if label == "dark" else 220) + i + shade
                Image.new("RGB", (16, 16), (level, level, i)).save(folder / split / label / f"{i}.png")


def test_edited_data_are_other_data(study_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))
    data, out = tmp_path / "data", tmp_path / "out"
    draw(data, 0)
    path = study_file(
        models=["resnet_nano"], baseline=None, seeds=1, data={"name": f"folder:{data}", "image_size": 16},
        set={"recipe.batch_size": 8},
    )  # fmt: skip
    study = Study.load(path)
    assert study.run(out, page=False).rows[0].n == 1
    shutil.rmtree(data)
    assert [row.n for row in report_study(study, out).rows] == [1]  # cannot be looked at here: counts
    draw(data, 7)
    table = report_study(study, out)
    assert table.rows[0].n == 0 and "another content of the data" in " ".join(table.rows[0].runs.row.notes)
    table = study.run(out, seeds=[1], page=False)
    assert [run.seed for run in table.rows[0].runs.finished] == [1]
    shutil.rmtree(data)
    table = report_study(study, out)
    assert [run.seed for run in table.rows[0].runs.finished] == [1], "of two contents the newest counts, never both"
    assert "of other data or weights than the newest run" in " ".join(table.rows[0].runs.row.notes)


def test_rows_of_two_contents_do_not_merge(copied: tuple[Study, Path], tmp_path: Path) -> None:
    _, out = copied
    shutil.copytree(out, tmp_path / "theirs")
    for run in find_runs(tmp_path / "theirs"):
        described = run.description()
        described["run"]["data"]["checksum"] = "0" * 64
        write_json(run.path / "run.json", described)
    with pytest.raises(UserError, match="another data"):
        merge_folders([tmp_path / "theirs"], out)


def test_a_merge_says_which_study_file_it_keeps(copied: tuple[Study, Path], tmp_path: Path) -> None:
    _, out = copied
    shutil.copytree(out, tmp_path / "theirs")
    assert merge_folders([tmp_path / "theirs"], out).unlike == ()
    study = json.loads((tmp_path / "theirs" / "study.json").read_text())
    write_json(tmp_path / "theirs" / "study.json", {**study, "question": "Another?"})
    said = CliRunner().invoke(app, ["study", "merge", str(tmp_path / "theirs"), "--into", str(out)]).stdout
    assert "differ in what their study says (question)" in said.replace("\n", " ")
    assert json.loads((out / "study.json").read_text())["question"] == study["question"]


def test_what_was_asked_for_survives_a_merge_and_names_no_machine(study_file: Write, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(PLUGIN.format(name="asked_net4", width=8, act="ReLU"))
    study = Study.load(study_file(models=["asked_net4"], baseline=None, seeds=1))
    given = {"overrides": ["budget.steps=2"], "plugins": [str(tmp_path / "net.py")], "data_dir": str(tmp_path)}
    for folder, seed in (("mine", 0), ("theirs", 4)):
        study.run(tmp_path / folder, seeds=[seed], page=False, **given)
    merge_folders([tmp_path / "mine", tmp_path / "theirs"], tmp_path / "both")
    asked = read_request(tmp_path / "both")
    assert asked is not None and asked.changes == ("budget.steps=2",) and asked.seeds == {"asked_net4": (0, 4)}
    assert "--seeds 0,4" in build_table(read_study(tmp_path / "both")).study.command
    assert [row.n for row in report_study(study, tmp_path / "both").rows] == [2]
    merge_folders([tmp_path / "both"], tmp_path / "kept", compact=True)
    assert not [file for file in (tmp_path / "kept").rglob("*.json") if str(tmp_path) in file.read_text()]
    command = build_table(read_study(tmp_path / "kept")).study.command
    assert "tiny.yaml" in command and "--plugin net.py" in command and "--set budget.steps=2" in command


def test_one_row_alone_is_kept_where_its_training_is_looked_for(study_file: Write, tmp_path: Path) -> None:
    rows = [{"model": "resnet_nano", "name": name} for name in ("one", "same")]
    study = Study.load(study_file(models=None, baseline=None, rows=rows, seeds=1))
    table = study.run(tmp_path / "out", only=["same"], page=False)
    assert [(row.name, row.n, row.runs.row.names) for row in table.rows] == [("one", 1, ("one", "same"))]


def test_the_rule_of_the_verdicts_is_kept_with_the_folder(study_file: Write, tmp_path: Path) -> None:
    """What was said of margin and rule holds for every later table; a new word changes both the files and the table."""
    path, out = study_file(models=["resnet_nano"]), tmp_path / "out"
    for wrong in ({"margin": 0.0}, {"verdict": "stricter"}):
        with pytest.raises(UserError, match=r"--margin 0\.5|unknown verdict rule 'stricter'"):
            Study.load(path).run(out, **wrong)
    assert not out.exists()

    def rule_of(shown: dict[str, Any]) -> tuple[float, str]:
        return shown["margin"], shown["verdict_rule"]

    said = ("--margin", "0.25", "--verdict", "strict")
    first = call("run", path, "--out", out, "--seeds", "1", "--yes", "--json", *said)
    assert rule_of(first) == (0.25, "strict") and shlex.join(said) in first["command"]
    assert rule_of(call("report", path, "--out", out, "--json")) == (0.25, "strict")
    assert (table := build_table(read_study(out)).study).margin == 0.25 and table.verdict == "strict"
    assert rule_of(call("report", path, "--out", out, "--json", "--margin", "1", "--verdict", "usual")) == (
        1.0,
        "usual",
    )
    kept = read_request(out)
    assert kept is not None and (kept.margin, kept.verdict) == (1.0, "usual")
    again = call("run", path, "--out", out, "--seeds", "1", "--yes", "--json")
    assert rule_of(again) == (1.0, "usual") and "--margin 1" in again["command"] and "--verdict" not in again["command"]
    kept_file = json.loads((out / "study.json").read_text())
    for key in ("margin", "verdict"):
        del kept_file["asked"][key]  # a folder of an older version
    write_json(out / "study.json", kept_file)
    assert rule_of(call("report", path, "--out", out, "--json")) == (0.5, "usual")
