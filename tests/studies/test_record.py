"""`levelfield record`: what is counted, resumed, replicated and said; real runs in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.spec import RunSpec
from levelfield.spec.run_parts import StartFrom
from levelfield.studies.declared.record_rules import check_declared
from levelfield.studies.results.record_json import as_markdown, pairs, read_record, summary, verdict
from levelfield.studies.running import record as module
from levelfield.studies.running.record import Declared, make_record
from levelfield.system.source_digest import SUFFIXES, source_digest
from levelfield.training import environment

SPEC: dict[str, Any] = {
    "model": {"name": "resnet_nano"},
    "data": {"name": "digits", "image_size": 16, "train_limit": 100, "test_limit": 50},
    "recipe": {"batch_size": 32, "precision": "fp32", "validation": 0.0},
    "budget": {"epochs": 1},
    "execution": {"device": "cpu", "threads": 1},
}
QUIET = Progress(shown=False)


def run(seed: int, top1: float, train_s: float) -> dict[str, Any]:
    return {
        "seed": seed, "top1": top1, "train_s": train_s, "train_and_test_s": train_s + 1, "everything_s": train_s + 5,
        "warm_up_s": 3.0, "busy_percent": 12.0,
    }  # fmt: skip


def made_up(spec: RunSpec, progress: Progress) -> dict[str, Any]:
    """Stands for a run: its figures tell its seed and length."""
    return run(spec.seed, 90.0 + spec.seed, 10.0 * float(spec.budget.epochs or 0))


def test_real_runs_are_timed_and_replicated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of each side: what `train` reaches is reached, every part of the time is there, and it is seen to go on."""
    first = make_record(RunSpec.parse(SPEC), Declared(5.0, 1), tmp_path / "a", None, QUIET)
    longer = RunSpec.parse({**SPEC, "budget": {"epochs": 2}})
    told = Progress(every_s=0)
    second = make_record(longer, Declared(5.0, 1, 600.0), tmp_path / "b", tmp_path / "a" / "record.json", told)
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("record 25 %") and "| seed 0 50 %" in line for line in lines), lines
    assert sum("seed 0: " in line and "all included" in line for line in lines) == 2
    assert sum(line.startswith("the previous record's seed 0: ") for line in lines) == 1
    again = second["against"]["runs"][0]
    assert (again["top1"], again["loss"]) == (first["runs"][0]["top1"], first["runs"][0]["loss"])
    mine = second["runs"][0]
    assert mine["steps"] == 2 * again["steps"] == 8
    assert 0 < mine["train_s"] < mine["train_and_test_s"] < mine["everything_s"] and mine["warm_up_s"] > 0
    assert mine["everything_s"] >= mine["load_s"] + mine["build_s"] + mine["train_and_test_s"]
    assert second["summary"]["in_time"] is True and second["pairs"]["pairs"] == 1
    assert second["source"]["sha256"] == source_digest()
    page = (tmp_path / "b" / "record.md").read_text()
    assert "previous record: resnet_nano" in page and f"{mine['train_s']:.2f} s" in page
    assert read_record(tmp_path / "b" / "record.json") == json.loads(json.dumps(second))


def test_a_record_goes_on_and_sides_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[int, float | None]] = []

    def noted(spec: RunSpec, progress: Progress) -> dict[str, Any]:
        done.append((spec.seed, spec.budget.epochs))
        if len(done) == 4:
            raise KeyboardInterrupt
        return made_up(spec, progress)

    monkeypatch.setattr(module, "_in_own_process", noted)
    spec, out = RunSpec.parse(SPEC), tmp_path / "b"
    previous = RunSpec.parse({**SPEC, "budget": {"epochs": 2}})
    make_record(previous, Declared(90.0, 1), tmp_path / "a", None, QUIET)
    with pytest.raises(KeyboardInterrupt):
        make_record(spec, Declared(91.0, 3), out, tmp_path / "a" / "record.json", QUIET)
    assert len(read_record(out / "record.json")["runs"]) == 1
    content = make_record(spec, Declared(91.0, 3), out, tmp_path / "a" / "record.json", QUIET)
    assert done[1:3] + done[4:] == [(0, 1), (0, 2), (1, 2), (1, 1), (2, 1), (2, 2)]
    assert done[3] == (1, 2)
    assert [r["seed"] for r in content["runs"]] == [0, 1, 2]
    assert content["pairs"]["train_s_ratio"] == {"value": 2.0, "low": None, "high": None, "n": 3}
    count = len(done)
    with pytest.raises(UserError, match=r"holds 3 runs, of which none can be left out(.|\n)*ask for 3 or more"):
        make_record(spec, Declared(91.0, 2), out, None, QUIET)
    for declared in (Declared(90.0, 3), Declared(91.0, 3, within=5.0)):
        with pytest.raises(UserError, match="what it is to show"):
            make_record(spec, declared, out, None, QUIET)
    other = previous.changed({"execution.channels_last": False})
    make_record(other, Declared(90.0, 1), tmp_path / "c", None, QUIET)
    with pytest.raises(UserError, match="replicates another record"):
        make_record(spec, Declared(91.0, 3), out, tmp_path / "c" / "record.json", QUIET)
    assert len(done) == count + 1


def test_runs_made_otherwise_never_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_in_own_process", made_up)
    spec = RunSpec.parse(SPEC)
    make_record(spec, Declared(90.0, 1), tmp_path / "a", None, QUIET)
    with pytest.raises(UserError, match="its run differs"):
        make_record(spec.changed({"budget.epochs": 3}), Declared(90.0, 1), tmp_path / "a", None, QUIET)
    with pytest.raises(UserError, match="its run differs"):
        make_record(spec.changed({"execution.threads": 2}), Declared(90.0, 1), tmp_path / "a", None, QUIET)
    monkeypatch.setattr(environment, "variant_in_use", lambda: "another")
    with pytest.raises(UserError, match="its machine differs"):
        make_record(spec, Declared(90.0, 1), tmp_path / "a", None, QUIET)
    monkeypatch.undo()
    monkeypatch.setattr(module, "_in_own_process", made_up)
    monkeypatch.setattr(module, "source_digest", lambda: "other")
    with pytest.raises(UserError, match="its source differs"):
        make_record(spec, Declared(90.0, 1), tmp_path / "a", None, QUIET)
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(UserError, match="is no record"):
        make_record(spec, Declared(90.0, 1), tmp_path / "c", tmp_path / "no.json", QUIET)
    other = spec.changed({"data.train_limit": 90})
    with pytest.raises(UserError, match="other data"):
        make_record(other, Declared(90.0, 1), tmp_path / "d", tmp_path / "a" / "record.json", QUIET)


def test_every_file_that_a_run_is_carried_out_by_is_digested() -> None:
    root = Path(module.__file__).parents[2]
    kinds = {path.suffix for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    others = {".pyc", ".so", ".typed", ".js", ".css", ".md", ".html", ".svg", ".csv", ".txt", ""}
    assert kinds - others <= SUFFIXES


def test_a_run_that_fails_is_told(tmp_path: Path) -> None:
    spec = RunSpec.parse(SPEC).changed({"recipe.optimizer.lr": 1e30, "recipe.optimizer.name": "sgd"})
    with pytest.raises(UserError, match=r"seed 0 of the record failed.*not finite"):
        make_record(spec, Declared(90.0, 1), tmp_path / "a", None, QUIET)
    assert read_record(tmp_path / "a" / "record.json")["runs"] == []


@pytest.mark.parametrize(
    ("tops", "within", "words"),
    [
        ([93.9, 93.8, 94.0], None, "not reached: the mean of 3 runs is 93.90 %"),
        ([93.9, 94.3, 94.1], None, "reached by the mean alone"),
        ([94.2, 94.3, 94.4], 30.0, "its interval lies at or above 94 %; 15.0 s with everything, within 30 s"),
        ([94.2, 94.3, 94.4], 14.9, "longer than 14.9 s"),
    ],
)
def test_what_may_be_said(tops: list[float], within: float | None, words: str) -> None:
    runs = [run(seed, top, 10.0) for seed, top in enumerate(tops)]
    found = summary(runs, 94.0, within)
    assert words in verdict({"summary": found, "target": 94.0, "within": within, "wanted_runs": 3})
    assert found["at_or_above"] == sum(top >= 94 for top in tops)
    text = verdict({"summary": found, "target": 94.0, "within": within, "wanted_runs": 5})
    assert text.endswith("2 runs are still to come")


def test_pairs_are_of_equal_seeds() -> None:
    found = pairs([run(0, 94.0, 10.0), run(2, 95.0, 10.0)], [run(0, 93.0, 20.0), run(1, 99.0, 1.0), run(2, 93.0, 40.0)])
    assert found["pairs"] == 2 and found["train_s_ratio"]["value"] == 3.0 and found["top1_points"]["value"] == 1.5
    assert pairs([run(0, 94.0, 10.0)], [run(1, 94.0, 10.0)]) == {"pairs": 0}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"recipe.validation": 0.2}, "recipe.validation"),
        ({"data.validation": 0.2}, "recipe.validation"),
        ({"data.train_limit": 10}, "data.train_limit"),
        ({"data.test_limit": 10}, "data.test_limit"),
        ({"model.start_from": StartFrom(source="runs/a")}, "model.start_from"),
        ({"seed": 4}, "seed"),
    ],
)
def test_rules_of_records_cannot_be_set_aside(changes: dict[str, Any], key: str) -> None:
    plain = RunSpec.parse({**SPEC, "data": {"name": "digits"}})
    check_declared(plain)
    with pytest.raises(UserError, match=rf"^{key} cannot be set: a record"):
        check_declared(plain.changed(changes))


def test_a_record_says_what_was_changed_and_on_how_many_images_it_was_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_in_own_process", made_up)
    declared = Declared(90.0, 2, changed=("budget.epochs=2",))
    content = make_record(RunSpec.parse(SPEC).changed({"budget.epochs": 2}), declared, tmp_path, None, QUIET)
    page = (tmp_path / "record.md").read_text()
    assert content["test_images"] == 50 and "- 50 test images" in page
    assert "changed from the recipe: `budget.epochs=2`" in page


def test_intervals_keep_to_what_figures_may_be() -> None:
    found = summary([run(0, 99.9, 1.0), run(1, 90.0, 90.0)], 94.0, None)
    assert found["top1"]["high"] == 100.0 and found["train_s"]["low"] == 0.0
    assert found["top1"]["low"] < found["top1"]["value"] < 100.0


def test_ctrl_c_ends_the_run_at_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "r"
    command = [sys.executable, "-m", "levelfield", "record", "digits", "--target", "95", "--model", "resnet_nano"]
    command += ["-n", "2", "--set", "budget.epochs=100000", "--device", "cpu", "--yes", "--out", str(out)]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    end = time.monotonic() + 120
    while not (children := _children(started.pid)):
        assert time.monotonic() < end and started.poll() is None
        time.sleep(0.1)
    time.sleep(1.0)
    started.send_signal(signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130 and "goes on where it stopped" in told
    assert read_record(out / "record.json")["runs"] == []
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert as_markdown(read_record(out / "record.json")).startswith("# digits: time to 95 %\n\nNo run is finished yet")


def _children(pid: int) -> list[int]:
    """The processes that train, on Linux: those that multiprocessing spawned to do so."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    if not path.exists():
        pytest.skip("needs Linux's list of a process's children")
    found = [int(child) for child in path.read_text().split()]
    return [child for child in found if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]
