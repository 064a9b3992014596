"""Ranks of trained networks and the compression ladder, from run folders to the command line."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from levelfield.analysis import compression_ladder
from levelfield.analysis.feature_ranks import networks_to_rank as subjects
from levelfield.analysis.ladder_chart import COSTS, ladder_chart
from levelfield.cli.app import app
from levelfield.cost.energy import EnergyMeter
from levelfield.errors import UserError
from levelfield.page.sections.analyses import _ladder
from levelfield.progress import Progress
from levelfield.runs import RunFolder
from levelfield.spec import Budget, DataSpec, Distil, Execution, ModelSpec, Prune, QuantizeAware, RunSpec, StartFrom
from levelfield.training import train
from levelfield.units import short

MODELS = ("resnet_nano", "convnext_nano_p2")


def one_run(folder: Path, model: str, steps: int = 2, seed: int = 0) -> Path:
    spec = RunSpec(
        model=ModelSpec(name=model),
        data=DataSpec(name="digits", image_size=16, train_limit=200, test_limit=60),
        budget=Budget(steps=steps),
        seed=seed,
        execution=Execution(device="cpu", workers=0),
    )
    train(spec, folder, progress=Progress(shown=False))
    return folder


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ladder")
    for model in MODELS:
        one_run(folder / model, model)
    return folder


def test_a_run_gives_its_network_before_and_after_training(ladder: Path) -> None:
    untrained, trained = subjects.from_run(ladder / "resnet_nano")
    assert (untrained.state, trained.state, untrained.top1) == ("untrained", "trained", None)
    result = json.loads((ladder / "resnet_nano" / "result.json").read_text())
    assert trained.top1 == result["top1"]
    before, after = untrained.model.state_dict(), trained.model.state_dict()
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    measured = subjects.measure(trained, images=60)
    assert measured.images == 60 and measured.data == "digits" and measured.top1 == result["top1"]
    names = [layer.name for layer in measured.layers]
    assert names[0].startswith("stem") and "head" in names
    for layer in measured.layers:
        assert 0 < layer.rank <= layer.d_out and layer.nuclear_norm > 0
        assert 1.0 <= layer.effective_rank <= layer.d_out
        assert not (layer.name == "head" and layer.judged)


def test_a_run_is_measured_on_the_images_asked_for(ladder: Path) -> None:
    arguments = ["analyze", "rank", "--run", str(ladder / "resnet_nano"), "--data", "cifar1O", "--images", "40"]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UserError) and "cifar1O" in str(result.exception)


def test_side_by_side_on_the_command_line(ladder: Path, tmp_path: Path) -> None:
    arguments = ["analyze", "rank", "--run", str(ladder / "resnet_nano"), "--model", "vit_mini", "--images", "40",
                 "--image-size", "16", "--out", str(tmp_path), "--json"]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)["networks"]
    assert [(one["title"].split(" /")[0], one["state"]) for one in shown] == [
        ("vit_mini", "untrained"),
        ("resnet_nano", "untrained"),
        ("resnet_nano", "trained"),
    ]
    assert shown == json.loads((tmp_path / "network-rank.json").read_text())
    assert {"rank", "input_rank", "ratio", "rank_share", "nuclear_norm", "lost"} <= shown[0]["layers"][0].keys()
    assert (tmp_path / "network-rank.svg").read_text().count("rank / d_out") >= 1
    table = CliRunner().invoke(app, [*arguments[:-1]])
    for text in ("side by side", "mean rank / d_out", "bottlenecks"):
        assert text in table.stdout


def test_the_ladder_lists_accuracy_and_costs_and_draws_them(ladder: Path, tmp_path: Path) -> None:
    rungs = compression_ladder.rungs([ladder], latency_seconds=0.05)
    assert {rung.model for rung in rungs} == set(MODELS)
    assert rungs[0].params_m >= rungs[1].params_m
    for rung in rungs:
        folder = ladder / rung.model
        result = json.loads((folder / "result.json").read_text())
        assert rung.top1 == (result["top1"],) and rung.deviation is None and rung.steps == 2
        assert rung.params_m == result["params"] / 1e6 and rung.macs_m == result["macs"] / 1e6
        assert rung.size_mib == (folder / "weights.safetensors").stat().st_size / 2**20
        assert 0 < rung.latency_q1_ms <= rung.latency_ms <= rung.latency_q3_ms
    measured = [replace(rung, joules_per_image=0.002) for rung in rungs]
    drawn = ladder_chart(measured, "Ladder").to_json()
    for text in [*COSTS.values(), *MODELS]:
        assert text in drawn


def test_what_was_analysed_appears_on_the_page_of_the_study(ladder: Path) -> None:
    commands = (
        ["analyze", "compression", str(ladder)],
        ["analyze", "rank", "--run", str(ladder / "vit"), "--images", "40", "--out", str(ladder / "analysis")],
        ["report", str(ladder)],
    )
    one_run(ladder / "vit", "vit_mini")
    before = CliRunner().invoke(app, commands[-1])
    assert before.exit_code == 0 and "analysis-" not in (ladder / "report.html").read_text()
    for arguments in commands:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    html = (ladder / "report.html").read_text()
    assert 'id="analysis-compression"' in html and 'id="analysis-network-rank"' in html
    assert html.count("data:image/svg+xml;base64,") == 2
    for rung in json.loads((ladder / "analysis" / "compression.json").read_text()):
        assert f"<td>{short(1e6 * rung['params_m'])}</td>" in html
    network = json.loads((ladder / "analysis" / "network-rank.json").read_text())[0]
    assert f"<td>{network['summary']['filled']:.3f}</td>" in html

    (ladder / "analysis" / "network-rank.json").write_text("{")
    broken = CliRunner().invoke(app, commands[-1])
    assert isinstance(broken.exception, UserError) and "network-rank.json cannot be read" in str(broken.exception)


def test_runs_of_other_length_make_no_ladder(ladder: Path, tmp_path: Path) -> None:
    one_run(tmp_path / "other", "resnet_nano", steps=1)
    with pytest.raises(UserError, match=r"must differ in nothing but the network.*budget\.steps 2 and 1"):
        compression_ladder.rungs([ladder, tmp_path])
    with pytest.raises(UserError, match="no finished run"):
        compression_ladder.rungs([tmp_path / "nowhere"])


def changed_run(folder: Path, changes: dict[str, Any]) -> Path:
    train(RunFolder(folder.parent / "whole").spec().changed(changes), folder, progress=Progress(shown=False))
    return folder


def test_rungs_say_whose_weights_they_start_from_and_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = one_run(tmp_path / "whole", "resnet_nano")
    shorter: dict[str, Any] = {"budget": Budget(steps=1), "recipe.optimizer.lr": 1e-4}
    start = {**shorter, "model.start_from": StartFrom(source=str(whole))}
    pruned = changed_run(tmp_path / "pruned", {**start, "recipe.prune": Prune(share=0.5)})
    changed_run(tmp_path / "longer", start)
    rounds = {"model.start_from": StartFrom(source=str(pruned)), "recipe.quantize_aware": QuantizeAware()}
    changed_run(tmp_path / "int8", {**shorter, **rounds})
    changed_run(tmp_path / "taught", {"recipe.distil": Distil(teacher=str(whole), form="hard")})
    found = compression_ladder.ladder([tmp_path])
    assert {name: (made.parent, made.done) for name, made in found.items()} == {
        "resnet_nano (whole)": (None, ""),
        "resnet_nano (pruned)": ("resnet_nano (whole)", "50 % of weights zero"),
        "resnet_nano (longer)": ("resnet_nano (whole)", "trained on"),
        "resnet_nano (int8)": ("resnet_nano (pruned)", "trained to int8"),
        "resnet_nano (taught)": (None, "taught by resnet_nano (hard, weight 0.5)"),
    }
    assert compression_ladder.latency(tmp_path / "int8", 0.01)[0].ms_median > 0

    monkeypatch.setattr(compression_ladder, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    timing, _ = compression_ladder.latency(whole, 0.01)
    monkeypatch.setattr(compression_ladder, "latency", lambda *_: (timing, 0.0123))
    shown = CliRunner().invoke(app, ["analyze", "compression", str(tmp_path), "--json"])
    values = {rung["model"]: rung for rung in json.loads(shown.stdout)["ladder"]}
    assert values["resnet_nano (int8)"]["parent"] == "resnet_nano (pruned)"
    assert values["resnet_nano (int8)"]["params_m"] == values["resnet_nano (whole)"]["params_m"]
    table = CliRunner().invoke(app, ["analyze", "compression", str(tmp_path)]).stdout
    assert "started from" in table and "50 % of weights zero" in " ".join(table.split())
    assert "12.3" in table and "Joules: of the processor" in " ".join(table.split())
    section = "".join(_ladder(list(values.values())))
    assert '<td class="words">trained to int8, from resnet_nano (pruned)</td>' in section and "what was done" in section

    changed_run(tmp_path / "shorter", {**start, "budget": Budget(epochs=1), "recipe.prune": Prune(share=0.2)})
    with pytest.raises(UserError, match=r"must differ in nothing but the network.*budget"):
        compression_ladder.ladder([tmp_path])


def test_a_rung_has_an_interval_and_what_changed_seed_by_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wholes = [one_run(tmp_path / f"whole{seed}", "resnet_nano", seed=seed) for seed in range(3)]
    start: dict[str, Any] = {"budget": Budget(steps=1), "recipe.optimizer.lr": 1e-4, "recipe.prune": Prune(share=0.5)}
    for seed in (2, 0, 1):
        spec = (
            RunFolder(wholes[seed]).spec().changed({**start, "model.start_from": StartFrom(source=str(wholes[seed]))})
        )
        train(spec, tmp_path / f"pruned{seed}", progress=Progress(shown=False))
    for name, top1 in zip(("whole", "pruned"), ((90.0, 91.0, 92.0), (89.5, 90.7, 91.3)), strict=True):
        for seed, value in enumerate(top1):
            path = tmp_path / f"{name}{seed}" / "result.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "top1": value}), encoding="utf-8")
    monkeypatch.setattr(compression_ladder, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    found = {rung.done: rung for rung in compression_ladder.rungs([tmp_path], latency_seconds=0.01)}
    whole, pruned = found[""], found["50 % of weights zero"]
    assert sorted(pruned.change) == pytest.approx([-0.7, -0.5, -0.3]) and whole.change == () and whole.changed is None
    assert whole.accuracy.low == pytest.approx(91.0 - 4.302653 / 3**0.5, abs=1e-5)
    assert pruned.changed is not None and pruned.changed.high == pytest.approx(-0.5 + 0.2 * 4.302653 / 3**0.5, abs=1e-5)
    drawn = json.dumps(ladder_chart(list(found.values()), "Ladder").to_dict())
    assert f'"from_top1": {whole.mean}' in drawn and f'"low": {pruned.accuracy.low}' in drawn
    section = "".join(_ladder([rung.as_json() for rung in found.values()]))
    assert "<td>91.00 [88.52, 93.48]</td>" in section and "<td>−0.50 [−1.00, −0.00]</td>" in section


@pytest.mark.parametrize("joules", [None, 3.5])
def test_a_rung_counts_joules_only_where_there_is_a_meter(
    ladder: Path, monkeypatch: pytest.MonkeyPatch, joules: float | None
) -> None:
    counted = iter((10.0, 10.0 + (joules or 0.0)))
    meter = None if joules is None else EnergyMeter(lambda: next(counted), "a meter")
    monkeypatch.setattr(compression_ladder, "energy_meter", lambda device: meter if device.type == "cpu" else None)
    timing, found = compression_ladder.latency(ladder / "resnet_nano", 0.01)
    assert found == (None if joules is None else joules / (timing.warmup + timing.repeats))


def test_the_random_study_on_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "study"
    arguments = ["analyze", "rank", "--networks", "40", "--no-sensitivity", "--out", str(out), "--workers", "1",
                 "--set", "d_out_min=3", "--set", "d_out_max=4", "--set", "map_side=3"]  # fmt: skip
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert len(shown["rows"]) == 4 * 8 * 10 and {row["networks"] for row in shown["rows"]} == {40}
    assert sorted(path.name for path in out.iterdir()) == ["lock", "rank.csv", "rank.png", "rank.svg", "study.json"]
    assert json.loads((out / "study.json").read_text())["environment"]["workers"] == 1
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 0 and "rank / d_out by d_in / d_out, one 1x1 convolution" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--set", "d_outmax=9"], "d_out_max"),
        (["--model", "resnet_nono"], "resnet_nano"),
        (["--model", "resnet_nano", "--set", "d_out_max=9"], "--set"),
        (["--run", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(arguments: list[str], named: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["analyze", "rank", "--out", str(tmp_path / "out"), *arguments])
    assert isinstance(result.exception, UserError) and named in str(result.exception)
