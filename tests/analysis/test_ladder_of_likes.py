"""A compression ladder says what its rungs do not share: who taught them, where they start, what they were timed on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from levelfield.analysis import compression_ladder
from levelfield.analysis.exported_rungs import ExportedRung
from levelfield.page.page import page
from levelfield.progress import Progress
from levelfield.runs import RunFolder, write_json
from levelfield.spec import Budget, DataSpec, Distil, Execution, ModelSpec, Prune, RunSpec, StartFrom
from levelfield.tables import build_table, read_study
from levelfield.tables.text.ladder import cells, headings, made_in_words, notes
from levelfield.training import train

SPEC = RunSpec(
    model=ModelSpec(name="resnet_nano", options={"width_factor": 0.25}),
    data=DataSpec(name="digits", image_size=16, train_limit=100, test_limit=50),
    budget=Budget(steps=2),
    execution=Execution(device="cpu", workers=0),
)
SHORTER: dict[str, Any] = {"budget": Budget(steps=1), "recipe.optimizer.lr": 1e-4}


def trained(folder: Path, changes: dict[str, Any]) -> Path:
    train(SPEC.changed(changes), folder, progress=Progress(shown=False))
    return folder


def test_rungs_that_unlike_networks_taught_are_two(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", {})
    start = {**SHORTER, "model.start_from": StartFrom(source=str(whole)), "recipe.prune": Prune(share=0.5)}
    pruned = trained(tmp_path / "pruned", start)
    for name, teacher in (("by-whole", whole), ("by-pruned", pruned)):
        trained(tmp_path / name, {"recipe.distil": Distil(teacher=str(teacher))})
    found = compression_ladder.ladder([tmp_path])
    assert {name: made.done for name, made in found.items() if "by-" in name} == {
        "resnet_nano (by-whole)": "taught by resnet_nano (soft at temperature 4, weight 0.5)",
        "resnet_nano (by-pruned)": ("taught by resnet_nano [50 % of weights zero] (soft at temperature 4, weight 0.5)"),
    }


def test_a_rung_whose_parent_is_missing_says_what_it_starts_from(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", {})
    start = {**SHORTER, "model.start_from": StartFrom(source=str(whole))}
    for name, more, done in (
        ("longer", {}, ""), ("pruned", {"recipe.prune": Prune(share=0.5)}, ", 50 % of weights zero"),
    ):  # fmt: skip
        folder = trained(tmp_path / "alone" / name, {**start, **more})
        (made,) = compression_ladder.ladder([folder]).values()
        assert (made.parent, made.done) == (None, f"starts from {whole}, which is not here{done}")


ONE = compression_ladder.Rung(
    model="whole", family="whole", parent=None, done="", top1=(99.78, 100.0), steps=9, params_m=0.3, macs_m=3.0,
    size_mib=1.2, latency_ms=1.0, latency_q1_ms=0.9, latency_q3_ms=1.1, change=(0.0, 0.22), busy_percent=2.0, threads=2,
    processor="A",
)  # fmt: skip


def test_an_interval_ends_where_percent_does() -> None:
    found = ONE.as_json()
    assert found["accuracy"]["low"] == pytest.approx(99.89 - 12.7062 * 0.11, abs=1e-3)
    assert found["accuracy"]["high"] == 100.0 and found["changed"]["high"] == pytest.approx(
        0.11 + 12.7062 * 0.11, abs=1e-3
    )
    shown = dict(zip(headings([found]), cells(found, headings([found])), strict=True))
    assert shown["top-1 %"] == "99.89 [98.49, 100.00]"


def test_what_was_timed_in_other_ways_is_named() -> None:
    file = replace(ONE, model="whole, onnx in int8", parent="whole", torch_latency_ms=2.0)

    def said(*ladder: compression_ladder.Rung) -> str:
        return " ".join(notes([rung.as_json() for rung in ladder]))

    assert "rest" not in said(ONE, file) and "differently" not in said(ONE, file)
    assert "did not rest while latencies were measured (others used up to 80 % of it)" in said(
        replace(ONE, busy_percent=80.0)
    )
    assert "latencies of whole, onnx in int8 were measured (whether it did is not known)" in said(
        ONE, replace(file, busy_percent=None)
    )
    other = said(ONE, replace(file, threads=1, processor="B"))
    assert "measured differently: whole on 2 threads of A; whole, onnx in int8 on 1 thread of B." in other


def test_a_ladder_is_timed_on_this_machine_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, times = iter((1.0, 70.0)), iter((3.0, 2.0))
    monkeypatch.setattr(compression_ladder, "busy_percent", lambda device: next(looks))
    monkeypatch.setattr(compression_ladder, "_rung", lambda *_: replace(ONE, latency_ms=next(times)))
    monkeypatch.setattr(compression_ladder, "processor_name", lambda: "mine")
    (found,) = compression_ladder.rungs([trained(tmp_path / "whole", {})])
    assert (found.busy_percent, found.processor, found.resting) == (70.0, "mine", False)
    assert found.latency_ms == 2.0  # the first network after a rest wakes the machine


def test_a_rung_of_fewer_seeds_than_it_was_made_of_is_named() -> None:
    file = replace(ONE, model="file", parent="whole")
    for top1, said in (((99.0, 99.5), False), ((99.0,), True)):
        found = notes([ONE.as_json(), replace(file, top1=top1).as_json()])
        assert (
            any("every run of the rung above: file 1 of 2. There the change compares" in note for note in found) is said
        )


def test_a_page_says_where_runs_have_come_since_the_ladder_was_made(tmp_path: Path) -> None:
    run = RunFolder(trained(tmp_path / "whole", {}))
    said = "Made before some runs of this table were there, or were carried out again"

    def shown(runs: dict[str, str | None]) -> str:
        write_json(tmp_path / "analysis" / "compression.json", [replace(ONE, runs=runs).as_json()])
        return page(build_table(read_study(tmp_path)))

    (tmp_path / "analysis").mkdir()
    assert "analysis-compression" in shown({run.identity: run.weights_digest()})
    assert said not in shown({run.identity: run.weights_digest()})
    for runs in ({}, {run.identity: "0" * 64}):
        assert said in shown(runs)
    (rung,) = [
        compression_ladder._rung(model, made, 0.01) for model, made in compression_ladder.ladder([tmp_path]).items()
    ]
    assert rung.runs == {run.identity: run.weights_digest()}


def test_the_time_of_files_is_their_median_so_that_one_busy_moment_tells_nothing() -> None:
    def record(ms: float, torch_ms: float, threads: int) -> dict[str, Any]:
        timed = [{"batch": 64, "ms": 9.0}, {"batch": 1, "ms": ms, "torch_ms": torch_ms}]
        return {"latency": timed, "threads": threads}

    records = [record(1.7, 3.8, 1), record(0.83, 2.7, 2), record(0.81, 2.6, 3)]
    found = ExportedRung("whole", "int8 file", records, [])
    assert (found.latency()["ms"], found.latency()["torch_ms"], found.timed()["threads"]) == (0.83, 2.7, 2)
    assert ExportedRung("whole", "int8 file", records[:2], []).latency()["ms"] == 0.83


@pytest.mark.parametrize(
    ("done", "parent", "said"),
    [
        ("trained to int8", "net (whole)", "trained to int8, from net (whole)"), ("", "", "from scratch"),
        ("taught by net", None, "taught by net"),
    ],
)  # fmt: skip
def test_how_a_rung_was_made_is_one_phrase_on_the_page(done: str, parent: str | None, said: str) -> None:
    assert made_in_words({"done": done, "parent": parent}) == said
