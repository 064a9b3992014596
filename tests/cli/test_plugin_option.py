"""`--plugin`: a file that is not there is answered at once, and a name that needs one says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.errors import UserError

MINE = """
from torch import nn
from levelfield import register_model
@register_model("an_own_net")
def build(num_classes): return nn.Sequential(nn.Flatten(), nn.Linear(192, num_classes))
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "own.yaml").write_text("data: digits\nmodels: [an_own_net]\n")


def wrong(command: str) -> str:
    done = CliRunner().invoke(app, command.split())
    assert isinstance(done.exception, UserError), (done.output, done.exception)
    return str(done.exception)


@pytest.mark.parametrize(
    "command",
    [
        "train --model resnet_nano --data digits",
        "study run own.yaml",
        "study plan own.yaml",
        "profile resnet_nano",
        "models resnet_nano",
        "gate resnet_nano resnet_nano --data digits",
        "init new.yaml --data digits",
        "ablate resnet_nano --data digits",
    ],
)
def test_a_file_that_is_not_there_is_said_by_every_command(command: str) -> None:
    assert "plugin 'absent.py': no such file" in wrong(f"{command} --plugin absent.py")


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (".", "plugin '.' is a folder\nname the Python file that registers models, as in --plugin empty.py"),
        ("mine", "no such file; did you mean 'mine.py'?"),
        ("own.yaml", "plugin 'own.yaml' is no Python file"),
    ],
)
def test_what_is_no_python_file_is_said_to_be_none(plugin: str, message: str) -> None:
    assert message in wrong(f"train --model resnet_nano --data digits --plugin {plugin}")


@pytest.mark.parametrize(
    "command", ["train --model an_own_net --data digits", "study run own.yaml", "profile an_own_net"]
)
def test_an_unknown_model_leads_to_the_option(command: str) -> None:
    said = wrong(command)
    assert "unknown model 'an_own_net'" in said and "your own: --plugin FILE" in said


def test_a_plugin_without_the_model_says_what_it_registers() -> None:
    said = wrong("train --model an_own_nett --data digits --plugin mine.py")
    assert "did you mean 'an_own_net'?" in said and "mine.py registers an_own_net" in said
    said = wrong("train --model no_net_of_anybody --data digits --plugin empty.py")
    assert "empty.py registers no model" in said and "@levelfield.register_model('no_net_of_anybody')" in said
