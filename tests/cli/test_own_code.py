"""A slip in one's own network: every command names the file, its line and the cause, and calls it no bug of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.models import create_model, load_plugin

HEAD = "import torch\nfrom torch import nn\nfrom levelfield import register_model\n"
NET = """
@register_model("{name}", image_size=8)
class Net(nn.Module):
    def __init__(self, {parameters}) -> None:
        super().__init__()
        {init}
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))

    def forward(self, x):
        {forward}
        return self.net(x)
"""
INIT_LINE, FORWARD_LINE, CLASS_LINE = 9, 13, 5
SLIPS = {
    "own_attribute": ({"init": "nn.RELU()"}, INIT_LINE, "AttributeError: module 'torch.nn' has no attribute 'RELU'"),
    "own_signature": ({"parameters": "classes=10"}, CLASS_LINE, "TypeError: Net.__init__() got an unexpected keyword"),
    "own_in_torch": ({"init": "nn.Linear('192', 10)"}, INIT_LINE, "TypeError: "),
    "own_forward": ({"forward": "x = relu(x)"}, FORWARD_LINE, "NameError: name 'relu' is not defined"),
    "own_module": ({"forward": "x = self.conv(x)"}, FORWARD_LINE, "AttributeError: 'Net' object has no attribute"),
}
TALKING = {
    "train": "train --model talking --data digits --image-size 8 --set budget.steps=2 --out run",
    "eval": "eval run",
    "predict": "predict run pictures",
}
COMMANDS = {
    "train": "train --model {name} --data digits --image-size 8 --out run",
    "profile": "profile {name} --image-size 8 --batch 2",
    "gate": "gate resnet_nano {name} --data digits --set data.image_size=8 --yes",
    "study run": "study run own.yaml --yes",
    "analyze rank": "analyze rank --model {name} --data digits --image-size 8 --images 8 --out ranks",
    "init": "init own2.yaml --data digits --model {name} --yes",
}


def own(folder: Path, name: str, parameters: str = "num_classes=10", init: str = "", forward: str = "") -> Path:
    """A plug-in whose network `name` has these lines."""
    file = folder / f"{name}.py"
    file.write_text(
        HEAD + NET.format(name=name, parameters=parameters, init=init or "pass", forward=forward or "pass"), "utf-8"
    )
    return file


def wrong(*arguments: str) -> str:
    """What a command says that is wrong, as one that a user can mend."""
    done = CliRunner().invoke(app, list(arguments))
    assert isinstance(done.exception, UserError), (done.output, done.exception)
    return str(done.exception)


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_is_named_with_file_line_and_cause(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, line, cause = SLIPS[name]
    monkeypatch.chdir(tmp_path)
    file = own(tmp_path, name, **lines)
    said = wrong(*COMMANDS["train"].format(name=name).split(), "--plugin", str(file))
    assert f"plugin {file} failed at line {line}" in said and name in said and cause in said
    assert "image_size" not in said.splitlines()[0] and len(said.splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *(("own_attribute", command) for command in COMMANDS),
        *(("own_forward", command) for command in COMMANDS if command not in {"analyze rank", "init"}),
    ],
)
def test_every_command_names_it(name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, line, cause = SLIPS[name]
    monkeypatch.chdir(tmp_path)
    file = own(tmp_path, name, **lines)
    (tmp_path / "own.yaml").write_text(f"data: {{name: digits, image_size: 8}}\nmodels: [{name}]\nseeds: [0]\n")
    said = wrong(*COMMANDS[command].format(name=name).split(), "--plugin", str(file))
    assert f"plugin {file} failed at line {line}" in said and cause in said


def test_an_option_of_the_wrong_kind_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = own(tmp_path, "own_width", "num_classes=10, width=8", "nn.Linear(width, 10)")
    option = ["--set", "model.options.width=big"]
    said = wrong(*COMMANDS["train"].format(name="own_width").split(), "--plugin", str(file), *option)
    assert f"failed at line {INIT_LINE}" in said and "width='big'" in said


def test_a_study_keeps_it_as_a_row_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = own(tmp_path, "own_attribute", **SLIPS["own_attribute"][0])
    study = "data: {name: digits, image_size: 8}\nmodels: [own_attribute, resnet_nano]\nseeds: [0]\n"
    (tmp_path / "own.yaml").write_text(study + "set: {budget.steps: 2}\n")
    asked = ["own.yaml", "--plugin", str(file)]
    plan = CliRunner().invoke(app, ["study", "plan", *asked])
    assert plan.exit_code == 0 and "failed at line 9" in " ".join(plan.output.split()), plan.output
    done = CliRunner().invoke(app, ["study", "run", *asked, "--yes", "--json"])
    assert done.exit_code == 3, (done.output, done.exception)
    rows = {row["row"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["resnet_nano"]["top1"] is not None and rows["own_attribute"]["status"] == "failed"
    assert f"plugin {file} failed at line 9" in (tmp_path / "runs" / "own" / "study.json").read_text()


def test_a_slip_that_only_training_meets_ends_the_run_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = own(tmp_path, "own_later", forward="x = self.later(x) if self.training else x")
    said = wrong(*COMMANDS["train"].format(name="own_later").split(), "--plugin", str(file), "--yes")
    assert f"plugin {file} failed at line {FORWARD_LINE}" in said and "'later'" in said
    assert "failed at line 13" in json.loads((tmp_path / "run" / "result.json").read_text())["status"]


def test_images_that_do_not_fit_are_still_a_matter_of_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = own(tmp_path, "own_small")
    said = wrong("train", "--model", "own_small", "--data", "digits", "--image-size", "16", "--plugin", str(file))
    assert "own_small cannot take images of 3 channels and 16 px (RuntimeError: mat1" in said
    assert f"{file} line 14" in said and "give the data another image_size" in said


def test_what_is_wrong_in_a_file_beside_the_plugin_is_named_there(tmp_path: Path) -> None:
    (tmp_path / "own_parts.py").write_text("def part(channels):\n    return channels.width\n")
    file = own(tmp_path, "own_beside", init="from own_parts import part; part(3)")
    sys.path.insert(0, str(tmp_path))
    try:
        load_plugin(file)
        with pytest.raises(UserError, match=r"own_parts\.py failed at line 2, .*'int' object has no attribute"):
            create_model("own_beside")
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("own_parts", None)


def test_what_nobody_foresaw_in_ones_own_code_is_no_bug_of_ours(tmp_path: Path) -> None:
    """The command line's last resort, whatever the command: an analysis that looks for no errors of a network."""
    lines, line, cause = SLIPS["own_forward"]
    file = own(tmp_path, "own_forward", **lines)
    done = subprocess.run(
        [sys.executable, "-m", "levelfield", *COMMANDS["analyze rank"].format(name="own_forward").split()]
        + ["--plugin", str(file)],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "COLUMNS": "300"}, timeout=600,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert f"plugin {file} failed at line {line}: {cause}" in done.stderr and "bug in" not in done.stderr


def test_what_ones_own_network_prints_stays_out_of_the_json(tmp_path: Path) -> None:
    own(tmp_path, "talking", forward="print('forward of mine')")
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / "a.png")
    for name, line in TALKING.items():
        plugin = ["--plugin", "talking.py"] if name == "train" else []
        done = subprocess.run(
            [sys.executable, "-m", "levelfield", *line.split(), *plugin, "--json"], cwd=tmp_path, capture_output=True,
            text=True, encoding="utf-8", timeout=300, env={**os.environ, "LEVELFIELD_DATA": ""},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "forward of mine" in done.stderr and json.loads(done.stdout)["json_version"] >= 1, name
