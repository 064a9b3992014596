"""Workflows, container, cluster scripts, citation and changelog: what they name exists, and their commands are real."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from levelfield.cli.app import app

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPTS = sorted((ROOT / "examples" / "slurm").glob("*.sh"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
WITHOUT_MAKE = {"windows", "study"}
"""Jobs that cannot use make: Windows has none, and the last has no source."""


def jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return found


def steps() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path.stem, name, step)
        for path in WORKFLOWS
        for name, job in jobs(path).items()
        for step in job.get("steps", [])
    ]


@pytest.mark.parametrize("terminal, quiet", [("", True), ("/dev/tty", False)])
def test_setting_up_shows_its_downloads_on_a_terminal(terminal: str, quiet: bool) -> None:
    said = subprocess.run(
        ["make", "--dry-run", "--assume-new=requirements.txt", f"MAKE_TERMERR={terminal}", "setup"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (install,) = (line for line in said.splitlines() if line.endswith("-r requirements.txt"))
    assert ("--quiet" in install) is quiet


def test_the_matrix_is_three_systems_by_three_versions_of_python() -> None:
    tested = jobs(ROOT / ".github" / "workflows" / "tests.yml")
    versions = ["3.11", "3.12", "3.13"]
    assert tested["unix"]["strategy"]["matrix"] == {"os": ["ubuntu-latest", "macos-latest"], "python": versions}
    assert tested["windows"]["strategy"]["matrix"] == {"python": versions}
    assert tested["windows"]["runs-on"] == "windows-latest"
    assert PROJECT["project"]["requires-python"] == f">={versions[0]}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_job_ends_needs_jobs_that_exist_and_may_only_read(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        needs = job.get("needs", [])
        assert {needs} if isinstance(needs, str) else set(needs) <= workflow["jobs"].keys() - {name}
        if "uses" in job:
            assert (ROOT / job["uses"]).is_file()
            assert "workflow_call" in yaml.safe_load((ROOT / job["uses"]).read_text(encoding="utf-8"))[True]
            continue
        assert 0 < job["timeout-minutes"] <= 120
        for value in (
            job["runs-on"],
            *map(str, job.get("defaults", {}).values()),
            *map(str, job.get("env", {}).values()),
        ):
            assert "runner." not in value  # not known before a step
        axes = job.get("strategy", {}).get("matrix", {}).keys()
        assert set(re.findall(r"matrix\.(\w+)", str(job))) <= axes


def test_steps_run_make_where_there_is_make_and_its_targets_exist() -> None:
    seen = set()
    for workflow, job, step in steps():
        assert ("uses" in step) != ("run" in step), (workflow, job, step)
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v[\d.]+|release/v1)", step["uses"])
        elif job not in WITHOUT_MAKE:
            words = step["run"].split()
            assert words[0] == "make" and words[2:] == ["PYTHON=python"], step
            seen.add(words[1])
    assert seen == {"test", "docs", "shown", "oldest", "installed", "files", "wheel"} and seen <= TARGETS


def test_windows_installs_what_make_setup_installs() -> None:
    lines = [line for _, job, step in steps() if job == "windows" for line in step.get("run", "").splitlines()]
    setup = MAKEFILE[MAKEFILE.index("$(STAMP): requirements.txt") : MAKEFILE.index("$(RAY_STAMP)")]
    for what in ("-r requirements.txt", "--no-deps -e ."):
        assert what in setup and sum(what in line for line in lines) == 1
    assert any(line.startswith("python -m pytest") for line in lines)


def test_only_the_publishing_job_gets_a_token_and_it_waits_for_tests_and_studies() -> None:
    release = jobs(ROOT / ".github" / "workflows" / "release.yml")
    tokens = {name for name, job in release.items() if "id-token" in job.get("permissions", {})}
    assert tokens == {"publish"} and set(release["publish"]["needs"]) == {"tests", "study"}
    assert set(release["study"]["needs"]) == {"pure", "platform"} and "password" not in str(release["publish"])
    given = [step["with"]["name"] for name in ("pure", "platform") for step in release[name]["steps"] if "name" in
             step.get("with", {})]  # fmt: skip
    assert given == ["dist-pure", "dist-${{ matrix.os }}"]
    assert PROJECT["tool"]["cibuildwheel"]["environment"] == {"LEVELFIELD_WHEEL": "platform"}


def commands_of(text: str) -> list[list[str]]:
    """The levelfield commands that a text shows or runs, continued lines joined."""
    joined = text.replace("\\\n", " ")
    found = re.findall(r"(?<![\w/-])levelfield (?:study|report|train|models|data) [^\n&`;]*", joined)
    return [shlex.split(line.strip()) for line in found]


def parses(command: list[str]) -> None:
    """Raises where the command line does not take it: an unknown command, option or form of a value."""
    group: Any = typer.main.get_command(app)
    arguments = command[1:]
    while hasattr(group, "commands"):
        group = group.commands[arguments.pop(0)]
    group.make_context(command[0], arguments)


def test_what_release_and_container_run_is_what_the_command_line_takes() -> None:
    texts = [step["run"] for _, job, step in steps() if job == "study" and "run" in step]
    texts += ["levelfield study run quickstart", "levelfield study run cifar10-cpu --yes"]
    commands = [command for text in texts for command in commands_of(text)]
    assert len(commands) == 4
    for command in commands:
        parses(command)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "study run quickstart" in dockerfile and "study run cifar10-cpu --yes" in dockerfile
    with pytest.raises(Exception, match="'slurm' is not one of"):
        parses(["levelfield", "study", "run", "quickstart", "--on", "slurm"])


def test_the_container_copies_what_is_there_and_installs_by_make() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    sources = [
        name for line in lines if line.startswith("COPY ") and "--from" not in line for name in line.split()[1:-1]
    ]
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }
    assert set(sources) == allowed and all((ROOT / name).exists() for name in sources)
    image = MAKEFILE[MAKEFILE.index("\nimage:") : MAKEFILE.index("\nUVX")]
    read = {name for name in ("requirements.txt", "pyproject.toml") if name in image or name == "pyproject.toml"}
    read |= {PROJECT["project"]["readme"], "LICENSE", "hatch_build.py", "src"}
    assert read <= set(sources)
    made = [line for line in lines if line.startswith("RUN make ")]
    assert [line.split()[2] for line in made] == ["image"] and "image" in TARGETS
    assert {word.partition("=")[0] for word in made[0].split()[3:]} == {"PYTHON", "TORCH_BACKEND", "PREFIX"}
    stages = re.findall(r"^FROM python:\$\{PYTHON_VERSION\}-slim(?: AS (\w+))?$", "\n".join(lines), re.MULTILINE)
    assert stages == ["build", ""] and any(line.startswith('ENTRYPOINT ["levelfield"]') for line in lines)


IN_BASH = pytest.mark.skipif(sys.platform.startswith("win32"), reason="bash scripts, for clusters")


@IN_BASH
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_cluster_scripts_parse_and_run_commands_that_exist(script: Path, tmp_path: Path) -> None:
    """With a `levelfield` that writes down what it was asked; what it was asked, the command line takes."""
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    log = tmp_path / "asked"
    fake = tmp_path / "levelfield"
    fake.write_text(f'#!/bin/sh\nprintf "%s\\0" levelfield "$@" >> {log}\nprintf "\\n" >> {log}\n', encoding="utf-8")
    fake.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    slurm = {"SLURM_CPUS_PER_TASK": "8", "SLURM_ARRAY_TASK_ID": "3", "PATH": path}
    done = subprocess.run(["bash", script, "my/quickstart.yaml"], env=slurm, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    asked = [line.rstrip("\0").split("\0") for line in log.read_text(encoding="utf-8").splitlines()]
    assert asked[0][:4] == ["levelfield", "study", "run", "my/quickstart.yaml"]
    shown = [
        command
        for command in commands_of(script.read_text(encoding="utf-8"))
        if not any("$" in word for word in command)
    ]
    for command in [*asked, *shown]:
        parses(command)
    assert (
        subprocess.run(["bash", script], env=slurm, capture_output=True, timeout=60).returncode != 0
    )  # names no study


@IN_BASH
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_cluster_scripts_hand_on_the_signal_and_the_exit_code(script: Path, tmp_path: Path) -> None:
    """Slurm's warning reaches the training process, and the job ends when that has written its checkpoint."""
    fake = tmp_path / "levelfield"
    fake.write_text(
        f"#!{sys.executable}\nimport pathlib, signal, sys, time\n"
        "def stop(*_):\n    time.sleep(0.3); pathlib.Path('checkpoint').touch(); sys.exit(130)\n"
        "signal.signal(signal.SIGTERM, stop)\npathlib.Path('begun').touch()\ntime.sleep(60)\n",
        encoding="utf-8",
    )
    fake.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    job = subprocess.Popen(["bash", script, "quickstart"], cwd=tmp_path, env={"PATH": path, "SLURM_ARRAY_TASK_ID": "0"})
    until = time.monotonic() + 30
    while not (tmp_path / "begun").exists() and time.monotonic() < until:
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=30) != 0 and (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_cluster_scripts_ask_for_a_warning_before_their_time_is_up(script: Path) -> None:
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", script.read_text(encoding="utf-8"), re.MULTILINE))
    assert asked.keys() >= {"time", "mem", "cpus-per-task", "output"} and asked["signal"] == "B:TERM@120"


def test_citation_and_changelog_tell_of_this_version() -> None:
    version = PROJECT["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version and citation["license"] == PROJECT["project"]["license"]
    assert citation.keys() >= {"cff-version", "message", "title", "authors", "type"}
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "[Unreleased]" and headings[1].startswith(f"[{version}]")
    kinds = set(re.findall(r"^### (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda p: p.stem)
def test_issue_forms_ask_something(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"] and form["description"]
    ids = [part["id"] for part in form["body"]]
    assert len(ids) == len(set(ids)) and all(part["attributes"]["label"] for part in form["body"])
    assert any(part.get("validations", {}).get("required") for part in form["body"])
    for text in re.findall(r"levelfield report [^\n]*", path.read_text(encoding="utf-8")):
        parses(shlex.split(text))
