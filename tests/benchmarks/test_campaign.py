"""The campaign's jobs at tiny size: stopped by the clock, continued, merged, and its table written."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from levelfield.cost import Setting
from levelfield.runs import RunFolder, find_runs
from levelfield.studies.results.merge import merge_folders
from levelfield.studies.running.profile_networks import Subject
from levelfield.study import Study
from levelfield.tables.repository_results import markdown
from levelfield.training.interrupts import StopRequest

GPU = Path(__file__).parents[2] / "benchmarks" / "gpu"
JOBS = ("job3_outgrid", "job4_ablation", "job5_modern", "job6_rexnet", "job7_simple_convnext")
STUDY = {
    "question": "Which?",
    "data": {"name": "digits", "image_size": 16, "train_limit": 128, "test_limit": 60},
    "recipes": "small.yaml",
    "models": ["resnet_nano", "vit_mini"],
    "seeds": 1,
}
RECIPE = {"batch_size": 64, "validation": 0, "budget": {"steps": 3}}


@pytest.fixture
def campaign(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(GPU))
    return importlib.import_module("campaign")


@pytest.fixture
def job(campaign: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run a job on a study of two rows, with results and what it brings back in the test's folder."""
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(RECIPE))
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(STUDY))

    def run(*arguments: str, minutes: float = 5, **changes: Any) -> dict[str, Any]:
        (tmp_path / "small.yaml").write_text(yaml.safe_dump({**RECIPE, **changes}))
        options = ["--out", str(tmp_path / "out"), "--results", str(tmp_path / "results"), "--minutes", str(minutes)]
        summary: dict[str, Any] = campaign.main("", str(path), (), [*options, *arguments])
        return summary

    return run


def bring_in(folder: Path) -> None:
    """As the README says: unpack what came back, merge it into the results."""
    with tarfile.open(folder / "out" / "tiny.tar.gz") as tar:
        tar.extractall(folder / "back", filter="data")
    merge_folders([folder / "back" / "tiny"], folder / "results" / "tiny", compact=True)


def test_a_job_begins_what_fits_and_the_next_one_goes_on(
    job: Callable[..., dict[str, Any]], campaign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(campaign, "probe", lambda spec, parallel: 1.0 if spec.model.name == "vit_mini" else 1e4)
        patch.setattr(campaign, "LEAST_S", 1e4)
        first = job()
    assert [(run["row"], run["seed"]) for run in first["finished"]] == [("vit_mini", 0)]
    assert list(first["left_out"]) == first["missing"] == ["resnet_nano seed 0"]
    assert not first["failures"] and not first["stopped"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"tiny.tar.gz", "tiny.job.json", "work"}
    bring_in(tmp_path)
    (kept,) = find_runs(tmp_path / "results")
    assert not kept.weights.exists() and kept.result() is not None
    text = markdown(tmp_path / "results")
    assert "1 of 2 rows measured" in text and "| resnet_nano | 0 | – | – | – | not run |" in text

    second = job()  # timed by its own first steps; what is there is not trained again
    assert [run["row"] for run in second["finished"]] == ["resnet_nano"] and not second["left_out"]
    assert list(second["expected_s"]) == ["resnet_nano"] and second["expected_s"]["resnet_nano"] < 120
    bring_in(tmp_path)
    assert len(find_runs(tmp_path / "results")) == 2
    assert "2 of 2 rows measured, 2 runs" in markdown(tmp_path / "results")

    third = job()
    assert not third["finished"] and not third["left_out"] and not third["missing"]


def test_further_seeds_are_expected_to_take_what_the_first_took(
    job: Callable[..., dict[str, Any]], campaign: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_probe(spec: Any, parallel: int) -> float:
        assert spec.seed == 0
        return 1.0

    monkeypatch.setattr(campaign, "probe", no_probe)
    summary = job("--row", "vit_mini", "--seeds", "2")
    assert [run["seed"] for run in summary["finished"]] == [0, 1]
    took = summary["finished"][0]["train_seconds"]  # three steps, which are all warm-up, count beside it
    assert summary["expected_s"]["vit_mini"] >= campaign.MARGIN * took + campaign.OVERHEAD_S


def test_a_run_that_cannot_be_built_does_not_cost_the_others_their_time(
    job: Callable[..., dict[str, Any]], campaign: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probe(spec: Any, parallel: int) -> float:
        if spec.model.name == "resnet_nano":
            raise RuntimeError("no kernel\nand more")
        return 1.0

    monkeypatch.setattr(campaign, "probe", probe)
    summary = job()
    assert summary["left_out"] == {"resnet_nano seed 0": "RuntimeError: no kernel"}
    assert [run["row"] for run in summary["finished"]] == ["vit_mini"]


def test_the_clock_stops_a_run_that_takes_longer_than_expected(
    job: Callable[..., dict[str, Any]], campaign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "probe", lambda spec, parallel: 0.0)
    monkeypatch.setattr(campaign, "CLOSING_S", 0.0)
    begin = time.monotonic()
    summary = job("--row", "resnet_nano", minutes=4 / 60, budget={"steps": 10**7})
    assert summary["stopped"] and not summary["finished"] and summary["missing"] == ["resnet_nano seed 0"]
    assert time.monotonic() - begin < 60
    assert not (tmp_path / "out" / "tiny.tar.gz").exists()
    (begun,) = find_runs(tmp_path / "out" / "work" / "tiny")
    assert list(begun.checkpoints.glob("*.ckpt"))  # and the next call goes on from there
    assert json.loads((tmp_path / "out" / "tiny.job.json").read_text())["stopped"] is True


def test_a_run_that_is_longer_than_a_call_ends_after_several(
    job: Callable[..., dict[str, Any]], campaign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call stops after four steps of ten, as its clock would; the row needs far more than a call has."""
    monkeypatch.setattr(campaign, "probe", lambda spec, parallel: 1e6)

    def four_steps(self: StopRequest) -> bool:
        self.seen = getattr(self, "seen", 0) + 1
        self.reason = "SIGTERM" if self.seen >= 4 else None
        return self.reason is not None

    monkeypatch.setattr(StopRequest, "requested", four_steps)
    calls = [job("--row", "vit_mini", budget={"steps": 10}) for _ in range(3)]
    assert [call["stopped"] for call in calls] == [True, True, False]
    assert [len(call["missing"]) for call in calls] == [1, 1, 0]
    bring_in(tmp_path)
    (kept,) = find_runs(tmp_path / "results")
    result = kept.result()
    assert result is not None and result["resumed_from"] == [4, 8] and result["steps"] == 10
    (worked,) = find_runs(tmp_path / "out" / "work" / "tiny")
    assert not worked.checkpoints.exists() and worked.weights.exists()  # a checkpoint is for what is not finished


def test_a_run_that_cannot_come_far_in_what_is_left_waits(
    job: Callable[..., dict[str, Any]], campaign: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "probe", lambda spec, parallel: 1e6)
    summary = job(minutes=(campaign.CLOSING_S + campaign.LEAST_S - 10) / 60)
    assert not summary["finished"] and len(summary["left_out"]) == 2


@pytest.mark.parametrize(("then", "now", "factor"), [(1, 1, 1), (1, 4, 4), (4, 4, 1), (4, 1, 1), (2, 4, 2)])
def test_runs_side_by_side_are_expected_to_take_longer_than_alone(
    then: int, now: int, factor: int, job: Callable[..., dict[str, Any]], campaign: Any, tmp_path: Path
) -> None:
    """What a finished run took counts with how many runs shared the machine then, and share it now."""
    from levelfield.runs import write_json

    study, work = Study.load(str(tmp_path / "tiny.yaml")), tmp_path / "work"
    first, second = study.plan(seeds=[0, 1], only=["vit_mini"])
    spec = first.spec.model_copy(update={"seed": 0})
    write_run(
        work / "vit_mini" / "seed0-x", spec, {"compile_seconds": 20.0, "train_seconds": 70.0, "eval_seconds": 10.0}
    )
    clock = campaign.Clock(5)
    made = [
        campaign.Campaign(study, "full", tmp_path / "done", work, tmp_path / "out", clock, "eager", parallel)
        for parallel in (then, now)
    ]
    write_json(work / "vit_mini" / "seed0-x" / "environment.json", made[0].environment)
    made[0]._note(first)
    assert made[1].expect(second) == pytest.approx(campaign.MARGIN * factor * 100.0 + campaign.OVERHEAD_S)
    work.rename(tmp_path / "done")  # what results/ holds does not say how many shared the machine: alone, to be safe
    assert made[1].expect(second) == pytest.approx(campaign.MARGIN * now * 100.0 + campaign.OVERHEAD_S)


def write_run(folder: Path, spec: Any, result: dict[str, Any]) -> None:
    """A finished run, as far as an expected time reads it."""
    from levelfield.runs import write_json

    folder.mkdir(parents=True)
    write_json(folder / "run.json", {"identity": "x", "reproducible": "by name", "run": spec.model_dump(mode="json")})
    write_json(folder / "result.json", {"status": "finished", **result})


def test_the_forms_of_outgrid_are_compared_in_full_float32(campaign: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolution that rounds its factors as TensorFloat-32 does wherever torch would let cuDNN do so."""
    monkeypatch.syspath_prepend(str(GPU.parent))
    outgrid = importlib.import_module("outgrid")
    conv2d, precision = torch.nn.functional.conv2d, torch.backends.cudnn.conv  # type: ignore[attr-defined]

    def rounded(values: torch.Tensor) -> torch.Tensor:
        return values + (((values.detach().view(torch.int32) + 0x1000) & -0x2000).view(torch.float32) - values.detach())

    def like_cudnn(x: torch.Tensor, weight: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        exact = precision.fp32_precision == "ieee"
        given = (x, weight) if exact else (rounded(x), rounded(weight))
        return conv2d(*given, *rest, **named)

    monkeypatch.setattr(torch.nn.functional, "conv2d", like_cudnn)
    torch.backends.cudnn.allow_tf32 = True  # torch's default
    found = outgrid.check_equality(torch.device("cpu"), 3)
    assert max(found.values()) < outgrid.TOLERANCE
    torch.backends.cudnn.allow_tf32 = True
    monkeypatch.setattr(outgrid, "set_tf32", lambda on: None)  # as it was
    with pytest.raises(SystemExit, match="the forms differ"):
        outgrid.check_equality(torch.device("cpu"), 3)


def test_outgrid_and_its_calibration_know_every_engine(
    campaign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(GPU.parent))
    outgrid, calibrate = importlib.import_module("outgrid"), importlib.import_module("job1_calibrate")
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **settings: asked.append(settings))
    for engine in campaign.ENGINES:
        outgrid.carry_out(torch.nn.Identity(), engine)
    assert [each["mode"] for each in asked] == [None, "reduce-overhead"] and not any(each["dynamic"] for each in asked)
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(calibrate, "script", lambda name, out, clock, *arguments: ran.append(arguments))
    for name, part in calibrate.parts("cuda", [], [], 1, tmp_path, campaign.Clock(1)).items():
        if name.startswith("outgrid.py"):
            part()
    assert len(ran) == 18 and {arguments[-1] for arguments in ran} == set(outgrid.ENGINES) == set(campaign.ENGINES)


def test_one_call_measures_everything_and_goes_on(
    campaign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parts fit ten minutes but for the last ones, name files and options that exist, and are not done twice."""
    everything, calibrate = importlib.import_module("everything"), importlib.import_module("job1_calibrate")
    found = everything.parts(tmp_path, "cuda")
    for command in (command for _, command in found.values()):
        assert all(Path(part).exists() for part in command if part.endswith(".py"))
    steps = calibrate.parts("cuda", ["outgrid_7m"], ["modern-100ep", "outgrid-100ep"], 1, tmp_path, campaign.Clock(1))
    wanted = {command[command.index("--part") + 1] for _, command in found.values() if "--part" in command}
    assert wanted <= set(steps) and len(wanted) == 6
    asked: list[list[str]] = []

    def ran(command: list[str], limit: float) -> dict[str, Any]:
        asked.append(command)
        return {"exit_code": 1 if len(asked) == 2 else 0, "seconds": limit, "output": "said\nlast"}

    monkeypatch.setattr(everything, "carry_out", ran)
    done = everything.main(["--out", str(tmp_path)])
    assert list(done) == list(found) and len(asked) == len(found)
    everything.main(["--out", str(tmp_path)])
    assert len(asked) == len(found) + 1 and asked[-1] == asked[1]
    assert everything.main(["--out", str(tmp_path / "late"), "--minutes", "0.1"]) == {}


def test_a_part_is_cut_off_at_its_limit(campaign: Any) -> None:
    everything = importlib.import_module("everything")
    cut = everything.carry_out(["-c", "import time; print('begun', flush=True); time.sleep(60)"], 5.0)
    assert cut["exit_code"] is None and cut["output"].strip() == "begun" and cut["seconds"] < 30
    assert everything.carry_out(["-c", "raise SystemExit(3)"], 30.0)["exit_code"] == 3


def test_the_jobs_name_rows_of_their_studies(campaign: Any) -> None:
    named: dict[str, set[str]] = {}
    for name in JOBS:
        module = importlib.import_module(name)
        rows = {row.name for row in Study.load(module.STUDY).planned_rows(only=module.ROWS)}
        assert rows.isdisjoint(named.setdefault(module.STUDY, set()))
        named[module.STUDY] |= rows
    for study in ("outgrid-cifar100", "modern-cifar100", "rexnet-cifar10"):
        assert named[study] == {row.name for row in Study.load(study).planned_rows()}


def test_calibration_measures_what_is_missing(campaign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calibrate = importlib.import_module("job1_calibrate")
    monkeypatch.setattr(calibrate, "in_own_process", lambda work, *arguments: work(*arguments))
    step = "step resnet_nano outgrid-100ep eager"
    arguments = ["--device", "cpu", "--model", "resnet_nano", "--recipe", "outgrid-100ep", "--steps", "3", "--part"]
    folders = ["--out", str(tmp_path / "out"), "--results", str(tmp_path / "results")]
    found = calibrate.main([*folders, *arguments, step])
    assert list(found["parts"]) == [step] and found["parts"][step]["steps"] == 3
    assert found["parts"][step]["minutes_100_epochs"] == pytest.approx(
        found["parts"][step]["ms_per_step"] * 70_400 / 60_000
    )
    (tmp_path / "results" / "gpu").mkdir(parents=True)
    (tmp_path / "out" / "calibration.json").rename(tmp_path / "results" / "gpu" / "calibration.json")
    again = calibrate.main([*folders, *arguments, "s", "--part", "machine"])
    assert again["parts"][step] == found["parts"][step]
    assert again["parts"]["machine"]["launch_us"] > 0 and again["parts"]["machine"]["matrix_tflop_per_s"]["fp32"] > 0


def test_profiles_are_added_to_those_that_are_there(
    campaign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job2 = importlib.import_module("job2_profile")
    asked: list[tuple[str, str, int]] = []
    engines: list[tuple[bool, bool]] = []

    def fake(subject: Subject, setting: Callable[..., Setting]) -> dict[str, Any]:
        made = setting(build=torch.nn.Identity, image_size=32)
        asked.append((subject.label, made.dtype, made.batch))
        engines.append((made.compile, made.cuda_graphs))
        speed = {"images_per_s": 1.0, "training": {"images_per_s": 1.0}, "noisy": False}
        engine = {"compiled": made.compile, "cuda_graphs": made.cuda_graphs}
        return {"name": subject.label, "batch": made.batch, "dtype": made.dtype, **engine, **speed}

    monkeypatch.setattr(job2, "profile_subject", fake)
    options = ["--results", str(tmp_path), "--device", "cpu", "--study", "modern-cifar100", "--dtype", "bf16"]
    rows = job2.main([*options, "--out", str(tmp_path / "gpu"), "--batch", "4"])
    assert [row["name"] for row in rows] == ["outgrid_7m", "resnet18_s1"]
    rows = job2.main([*options, "--out", str(tmp_path / "out"), "--batch", "4", "--batch", "8"])
    assert len(rows) == 4 and asked[2:] == [("outgrid_7m", "bf16", 8), ("resnet18_s1", "bf16", 8)]
    monkeypatch.setattr(job2, "GUESS_S", 1e9)
    assert len(job2.main([*options, "--out", str(tmp_path / "late"), "--minutes", "0.1"])) == 2
    monkeypatch.setattr(job2, "GUESS_S", 1.0)
    every = [part for engine in campaign.ENGINES for part in ("--engine", engine)]
    assert len(job2.main([*options, "--out", str(tmp_path / "every"), "--batch", "4", *every])) == 6
    assert set(engines[:4]) == {(False, False)} and engines[4:] == [(True, False)] * 2 + [(True, True)] * 2


def test_training_needs_neither_the_command_line_nor_pages() -> None:
    """The smoke test of a bare machine, with the packages hidden that training does without."""
    hidden = "('typer', 'rich', 'statsmodels', 'altair', 'vl_convert', 'tensorboard', 'ray')"
    code = f"import runpy, sys\nfor name in {hidden}: sys.modules[name] = None\n"
    code += (
        f"sys.argv = ['smoke.py', '--device', 'cpu']\nrunpy.run_path({str(GPU / 'smoke.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout
    assert done.stdout.count("ok: ") == 10 and done.stdout.endswith("all is well\n")
    assert "typer is not installed" in done.stdout


def test_importing_training_imports_little() -> None:
    code = "import sys, levelfield.training; print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert not {
        "typer", "rich", "altair", "statsmodels", "sklearn", "vl_convert", "tensorboard", "ray", "pandas", "matplotlib",
    } & set(done.stdout.split())  # fmt: skip


def test_a_result_in_the_repository_says_what_it_was_measured_on(
    job: Callable[..., dict[str, Any]], campaign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "probe", lambda spec, parallel: 0.0)
    job("--row", "vit_mini", "--data-dir", str(tmp_path))
    bring_in(tmp_path)
    (run,) = find_runs(tmp_path / "results")
    text = "".join(path.read_text() for path in run.path.glob("*.json*"))
    assert str(tmp_path) not in text and RunFolder(run.path).environment()["packages"]["torch"] in text
