"""What the gate refuses, and that nothing but "not better" ends with its exit code: 1 is an answer here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
import typer
from typer.testing import CliRunner

from levelfield.cli import app as root
from levelfield.cli import ask_before_long_work
from levelfield.cli.app import app, main
from levelfield.errors import UserError
from synthetic_runs import spec_of, write_run

GATE = [sys.executable, "-m", "levelfield", "gate"]
STUDY = "data: digits\nrecipes: digits-fast\nbaseline: resnet_nano\nmodels: [resnet_nano, vit_mini]\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate")
    for model, skill in (("resnet_nano", 3.0), ("vit_mini", 3.1)):
        for seed in range(3):
            write_run(folder / "runs" / model / f"seed{seed}", spec_of(model, seed), skill, images=400)
    (folder / "study.yaml").write_text(STUDY)
    (folder / "recipe.yaml").write_text("extends: digits-fast\n")
    (folder / "notes.txt").write_text("")
    return folder


def refused(place: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.chdir(place)
    result = CliRunner().invoke(app, ["gate", *arguments])
    assert isinstance(result.exception, UserError), (result.exit_code, result.output, result.exception)
    return str(result.exception)


NAMES = {
    "no folder": (["runs/nope", "runs/nopee"], "runs/nope is no folder", "STUDY:ROW"),
    "no candidate": (["runs/resnet_nano", "runs/nope"], "runs/nope is no folder", "folder of finished runs"),
    "no path": (["qqqqqq", "zzzzzz", "--data", "digits"], "qqqqqq is no folder", "levelfield models"),
    "no file": (["gone.yaml", "gone.yaml"], "gone.yaml is no folder, file", "STUDY:ROW"),
    "a study": (["study.yaml", "study.yaml"], "study.yaml is a study", "study.yaml:ROW"),
    "a study, with a model": (["study.yaml", "recipe.yaml", "--model", "vit_mini"], "is a study", "study.yaml:ROW"),
    "a shipped study": (["quickstart", "quickstart"], "quickstart is a study", "quickstart:ROW"),
    "a recipe file": (["recipe.yaml", "recipe.yaml", "--data", "digits"], "recipe.yaml is a recipe", "--model"),
    "a shipped recipe": (["cpu-fast", "digits-fast", "--data", "digits"], "cpu-fast is a recipe", "--model"),
    "a path for a recipe": (["runs/nope", "recipe.yaml", "--model", "vit_mini"], "runs/nope is no folder", "STUDY:ROW"),
    "another file": (["notes.txt", "vit_mini"], "notes.txt is a file", "folder of a run"),
    "a model alone": (["vit_mini", "resnet_nano"], "--data missing", "--data cifar10"),
    "a misspelt model": (["vit_mini", "resnet_nanno", "--data", "digits"], "resnet_nanno", "did you mean"),
    "a misspelt recipe": (["cpu-fats", "cpu-fast", "--model", "vit_mini", "--data", "digits"], "cpu-fats", "cpu-fast"),
    "folder and model": (["runs/resnet_nano", "vit_mini", "--data", "digits"], "folder of finished runs", "of a kind"),
    "row and model": (["study.yaml:vit_mini", "resnet_nano", "--data", "digits"], "a row of a study", "of a kind"),
    "a folder for a ledger": (["runs/resnet_nano", "runs/vit_mini", "--ledger", "runs"], "--ledger runs", "a file"),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_names_that_stand_for_nothing_or_for_other_kinds(
    case: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, named, remedy = NAMES[case]
    said = refused(place, monkeypatch, *arguments)
    assert named in said and remedy in said, said
    assert "--config" not in said and len(said.splitlines()) <= 3


def fractions(group: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every option of a fraction, of whatever command: the command's words and the option's."""
    for inner in group.registered_groups:
        assert inner.typer_instance is not None and isinstance(inner.name, str)
        yield from fractions(inner.typer_instance, (*path, inner.name))
    for command in group.registered_commands:
        assert command.callback is not None
        words = (*path, command.name or command.callback.__name__)
        for parameter in signature(command.callback, eval_str=True).parameters.values():
            kind, *more = get_args(parameter.annotation) if get_origin(parameter.annotation) is Annotated else (None,)
            if kind is float or float in get_args(kind):
                named = more[0].default if isinstance(more[0].default, str) else parameter.name.replace("_", "-")
                yield words, f"--{named.lstrip('-')}"


OPTIONS = list(fractions(app))


@pytest.mark.parametrize(("words", "option"), OPTIONS, ids=[" ".join((*words, option)) for words, option in OPTIONS])
def test_no_number_of_any_command_may_be_infinite_or_none(words: tuple[str, ...], option: str) -> None:
    """A bound that nothing reaches, or that nothing can be compared with, would be taken for an answer."""
    for text in ("nan", "inf", "-inf"):
        result = CliRunner().invoke(app, [*words, option, text])
        assert result.exit_code == 2 and option in result.output, (result.output, result.exception)


def test_those_options_were_found() -> None:
    assert {(("gate",), "--by"), (("study", "run"), "--margin"), (("study", "pick"), "--max-latency-ms")} < set(OPTIONS)


@pytest.mark.parametrize("more", [[], ["--json"], ["--ledger", "ledger.jsonl"]], ids=" ".join)
def test_a_gain_that_is_no_number_is_bad_input_wherever_it_goes(
    more: list[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    for by in ("nan", "inf", "-1"):
        result = CliRunner().invoke(app, ["gate", "runs/resnet_nano", "runs/vit_mini", "--by", by, *more])
        assert result.exit_code == 2 or isinstance(result.exception, UserError), result.output
    assert not Path("ledger.jsonl").exists()


def exit_code(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Any:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(root, "app", fail)
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_an_internal_error_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, RuntimeError("no")) == 70
    assert "internal error: RuntimeError: no" in capsys.readouterr().err
    assert exit_code(monkeypatch, UserError("bad")) == 2


def test_a_broken_installation_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ImportError('not installed')\n")
    found = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(GATE, env={**os.environ, "PYTHONPATH": found}, capture_output=True, text=True)
    assert done.returncode == 70 and "not installed" in done.stderr, done.stderr


def test_a_reader_that_leaves_is_no_answer(place: Path) -> None:
    gate = subprocess.Popen(
        [*GATE, "runs/vit_mini", "runs/resnet_nano", "--json"],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert gate.stdout is not None
    gate.stdout.close()
    assert gate.wait() == 141


@pytest.mark.parametrize("answer", ["n", "\x04"])
def test_who_declines_long_work_is_given_no_answer(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked(*_: object, **__: object) -> bool:
        if answer == "n":
            return False
        raise typer.Abort

    monkeypatch.setattr(ask_before_long_work.typer, "confirm", asked)
    monkeypatch.setattr(ask_before_long_work.sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    with pytest.raises(typer.Exit) as stopped:
        ask_before_long_work.confirm_long_work(1e6, "training", yes=False)
    assert stopped.value.exit_code == 130
    assert "the same command goes on from there" in capsys.readouterr().err  # so that yes is no risk
