"""Options that one guesses first are answered with the key that --set takes; --version answers without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

import levelfield
from levelfield.cli.app import app
from levelfield.cli.guessed_options import KEYS
from levelfield.errors import UserError
from levelfield.spec import RunSpec
from levelfield.spec.values import places_of

TRAIN = ["train", "--model", "resnet_nano", "--data", "digits"]
GUESSED = {
    "--epochs": ([*TRAIN, "--epochs", "3"], "--set budget.epochs="),
    "--lr": ([*TRAIN, "--lr", "0.1"], "--set recipe.optimizer.lr="),
    "--batch_size": ([*TRAIN, "--batch_size=8"], "--set recipe.batch_size="),
    "gate's image size": (["gate", "a", "b", "--image-size", "32"], "--set data.image_size="),
    "a study's epochs": (["study", "run", "quickstart", "--epochs", "1"], "--set budget.epochs="),
}


@pytest.mark.parametrize("case", GUESSED)
def test_a_guessed_option_names_its_key(case: str) -> None:
    arguments, remedy = GUESSED[case]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, UserError)
    first, second = str(error).split("\n")
    assert "has no option --" in first and remedy in second


def test_an_option_of_no_key_stays_clicks_own() -> None:
    done = CliRunner().invoke(app, [*TRAIN, "--modle", "x"])
    assert done.exit_code == 2 and isinstance(done.exception, SystemExit)


def test_every_guess_leads_to_a_key_that_there_is() -> None:
    assert set(KEYS.values()) <= {".".join(place) for place in places_of(RunSpec)}


def test_the_version_is_said_without_torch() -> None:
    code = "import sys; sys.argv = ['levelfield', '--version']\nfrom levelfield.cli.app import main\n"
    code += "try: main()\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"levelfield {levelfield.__version__}", "False"]
    assert levelfield.__version__[0].isdigit()
