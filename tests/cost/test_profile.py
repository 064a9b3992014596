"""A profile says what it measured, leaves nothing but JSON on stdout, and knows a noisy machine."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.cost.machine_at_rest import BUSY_PERCENT
from levelfield.cost.memory import Memory
from levelfield.cost.one_process import Setting
from levelfield.cost.profile import _noise_percent
from levelfield.cost.timing import Timing, training_step
from levelfield.errors import UserError
from levelfield.models import create_model
from levelfield.studies.running.profile_networks import build

profiling = sys.modules["levelfield.cost.profile"]  # the package's own `profile` is the function
process = sys.modules["levelfield.cost.one_process"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ([], ["measuring memory, then time of inference at batch 1 and 3 and of training steps, each twice"]),
        (
            ["--thorough"],
            [
                "measuring time of inference at batch 1 and 3 and of training steps",
                "measuring the same times in another process",
                "measuring memory, in a process of its own",
            ],
        ),
    ],
)
def test_the_command_measures_in_fresh_processes_and_says_what(how: list[str], said: list[str]) -> None:
    arguments = ["outgrid_nano", "--classes", "7", "--image-size", "32", "--batch", "3", "--train", "--seconds", "0"]
    command = [sys.executable, "-m", "levelfield", "profile", *arguments, *how, "--threads", "1", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    spoken = [line.strip() for line in result.stderr.splitlines() if line.startswith("  measuring")]
    assert [line.removesuffix(", and once for this machine its peak") for line in spoken] == said
    (row,) = json.loads(result.stdout)["models"]
    model = create_model("outgrid_nano", 7, 32)
    assert row["name"] == "outgrid_nano" and row["classes"] == 7 and row["device"] == "cpu" and row["dtype"] == "fp32"
    assert row["params"] == sum(p.numel() for p in model.parameters()) == row["trainable_params"]
    assert row["flops"] == 2 * row["macs"] and row["macs"] == sum(row["macs_by_kind"].values())
    assert row["latency"]["batch"] == 1 and row["throughput"]["batch"] == 3 and row["training"]["batch"] == 3
    assert row["images_per_s"] == pytest.approx(3e3 / row["ms_per_batch"])
    memory = row["memory"]
    assert 0 < memory["inference"]["added_mib"] < memory["inference"]["peak_mib"]
    assert memory["training"]["peak_mib"] > row["param_mib"] * 4  # weights, gradients, two moments
    share, speed = row["share_of_peak"], row["images_per_s"]
    assert share["inference"] == pytest.approx(row["flops"] * speed / row["peak_flops"]) and share["training"] > 0
    assert row["threads"] == 1 and row["environment"]["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert row["joules_per_image"] is None and row["compile_seconds"] is None and row["compiled"] is False
    assert row["resting"] is (row["busy_percent"] is not None and row["busy_percent"] <= BUSY_PERCENT)


def test_the_deployed_form_is_measured_beside_the_network() -> None:
    arguments = ["resnet_nano", "--batch", "5", "--seconds", "0", "--threads", "1", "--deploy", "--json"]
    result = CliRunner().invoke(app, ["profile", *arguments])
    assert result.exit_code == 0, result.output
    assert "measuring memory, then time of inference at batch 1 and 5 and of the deployed form, each twice" in (
        " ".join(result.stderr.split())
    )
    (row,) = json.loads(result.stdout)["models"]
    own, deployed = row["throughput"], row["deployed_throughput"]
    assert row["deployed_latency"]["batch"] == 1 and deployed["batch"] == 5
    assert row["deployed_speedup"]["throughput"] == pytest.approx(own["ms_median"] / deployed["ms_median"])
    latency = row["latency"]["ms_median"] / row["deployed_latency"]["ms_median"]
    assert row["deployed_speedup"]["latency"] == pytest.approx(latency)
    assert row["noise_by_timing"].keys() == {"latency", "throughput", "deployed_latency", "deployed_throughput"}
    assert row["deployed"]["folded"] == 9 and row["deployed"]["images"] == 5 and row["deployed"]["logits_off"] < 1e-4
    assert row["memory"]["deployed"]["peak_mib"] > 0 and row["images_per_s"] == own["images_per_s"]
    assert row["macs"] > 10**6 and row["params"] == 308_650  # of the network: its deployed form has no parameters


def fake_profile(setting: Setting, say: object = None) -> dict[str, Any]:
    model = setting.build()
    timing = {"ms_median": 1.0, "ms_q1": 1.0, "ms_q3": 1.0, "ms_p99": 1.0}
    return {
        "params": sum(p.numel() for p in model.parameters()), "macs": 10**6, "flops": 2 * 10**6, "images_per_s": 1.0,
        "latency": timing, "throughput": timing, "noisy": True, "noise_percent": 9.5, "threads": 1,
        "peak_flops": 1e9, "share_of_peak": {"inference": 0.002, "training": None},
        "busy_percent": 42.0, "resting": False, "compiled": setting.compile, "fp32_precision": None,
        "memory": {"inference": {"peak_mib": 1.0}, "training": None},
    }  # fmt: skip


def test_a_study_shows_what_its_authors_printed_and_under_which_convention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelfield.cost.profile", fake_profile)
    result = CliRunner().invoke(app, ["profile", "--study", "outgrid-cifar100", "--json"])
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row for row in json.loads(result.stdout)["models"]}
    assert rows["outgrid_7m"]["params"] == 7_518_102
    assert rows["outgrid_7m"]["published"]["printed_flops"] == pytest.approx(448.02e6)
    assert rows["outgrid_7m"]["published"]["printed_macs"] == pytest.approx(224.01e6)
    assert "FLOPs" in rows["outgrid_7m"]["published"]["convention"]
    assert "published" not in rows["swin_tiny_p2"]
    assert "machine is noisy: repeated timings of outgrid_7m differ by 9.5 %" in " ".join(result.stderr.split())
    assert "machine does not rest: others use 42 % of it" in " ".join(result.stderr.split())


@pytest.mark.parametrize(("graphs", "mode"), [(False, None), (True, "reduce-overhead")])
def test_compiling_covers_all_that_is_timed(graphs: bool, mode: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both batch sizes and the training step are compiled, and graphs recorded, before anything is timed."""
    model, seen, asked = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 5)), [], []
    model.register_forward_pre_hook(lambda module, inputs: seen.append((len(inputs[0]), torch.is_grad_enabled())))
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **settings: asked.append(settings))
    setting = Setting(lambda: model, image_size=8, batch=4, train=True, compile=True, cuda_graphs=graphs)
    assert process._compile(model, setting, torch.device("cpu")) > 0
    assert asked == [{"mode": mode, "dynamic": False}]
    assert all(seen.count(each) >= process.RECORDING for each in ((1, False), (4, False), (4, True)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["outgrid_7n"], "outgrid_7m"),
        ([], "give either model names or --study"),
        (["resnet_mini", "--study", "quickstart"], "give either model names or --study"),
        (["resnet_mini", "--dtype", "fp23"], "unknown dtype 'fp23'"),
        (["resnet_mini", "--dtype", "fp16", "--device", "cpu"], "fp16 needs a GPU"),
        (["--study", "nosuch"], "unknown study"),
        (["resnet_mini", "--deploy", "--compile"], "the deployed form is not compiled"),
        (["resnet_mini", "--into", "."], "give --study NAME and the folder"),
        (["--study", "quickstart", "--into", "nosuch"], "give --study NAME and the folder"),
    ],
)
def test_bad_input_is_named(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["profile", *arguments])
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


@pytest.mark.parametrize(
    ("medians", "spread", "percent"), [((10.0, 10.1), 0.0, 1.0), ((11.0, 10.0), 0.0, 10.0), ((10.0, 10.0), 3.0, 10.0)]
)
def test_noise_is_the_gap_of_medians_or_a_third_of_the_quartiles(
    medians: tuple[float, float], spread: float, percent: float
) -> None:
    first, second = (Timing(1, m, m - spread / 2, m + spread / 2, m, 1.0, 10, 3) for m in medians)
    assert _noise_percent(first, second) == pytest.approx(percent)


def timed(latency: float, throughput: float, training: float | None) -> dict[str, Any]:
    """What one process measured, by its medians."""
    made = {"latency": (1, latency), "throughput": (8, throughput), "training": (8, training)}
    timings = {
        name: None if m is None else asdict(Timing(batch, m, m * 0.99, m * 1.01, m * 1.1, batch * 1e3 / m, 10, 3))
        for name, (batch, m) in made.items()
    }
    counted = {"params": 5, "flops": 10**6, "peak_flops": 1e9 * latency}
    return {**counted, "joules_per_image": None, "clocks_mhz": [2000.0, 2100.0], **timings}


@pytest.mark.parametrize(
    ("one", "two", "worst"),
    [
        ((1.0, 10.0, 30.0), (1.01, 10.1, 30.3), 1.0),  # two percent of quartiles, a third of it is less
        ((1.0, 10.0, None), (1.0, 10.4, None), 4.0),
        ((1.0, 10.0, 30.0), (1.0, 10.0, 31.5), 5.0),  # only the training step differs
        ((1.0, 10.0, 30.0), (1.1, 10.0, 30.0), 10.0),  # only the latency
    ],
)
def test_a_profile_is_two_processes_that_agree_or_say_that_they_do_not(
    one: tuple[float, ...], two: tuple[float, ...], worst: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    times, memory = iter([timed(*one), timed(*two)]), {"inference": 1}
    monkeypatch.setattr(
        profiling, "_in_own_process", lambda work, _: next(times) if work is profiling.measure_times else memory
    )
    measured = profiling.profile(Setting(lambda: torch.nn.Identity(), 8))
    assert list(times) == [] and measured["memory"] == {**memory, "deployed": None} and measured["params"] == 5
    assert measured["noise_percent"] == pytest.approx(worst) == max(measured["noise_by_timing"].values())
    assert measured["noisy"] is (worst > 2)
    assert measured["ms_per_batch"] == pytest.approx((one[1] + two[1]) / 2)
    assert measured["images_per_s"] == pytest.approx(8e3 / measured["ms_per_batch"])
    assert measured["throughput"]["ms_q1"] == pytest.approx(0.99 * min(one[1], two[1]))
    assert measured["throughput"]["repeats"] == 20 and len(measured["clocks_mhz"]) == 4
    assert (measured["training"] is None) is (one[2] is None)
    assert measured["peak_flops"] == 1e9 * max(one[0], two[0])  # the faster one
    shares = {"inference": measured["images_per_s"] * 1e6 / measured["peak_flops"], "training": None}
    if measured["training"] is not None:
        shares["training"] = 3 * measured["training"]["images_per_s"] * 1e6 / measured["peak_flops"]
    assert measured["share_of_peak"] == pytest.approx(shares)


def test_a_quick_profile_measures_memory_before_what_leaves_some_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then all times twice, of one network that was built, and warmed up for each, once."""
    done: list[str] = []

    def build() -> torch.nn.Module:
        done.append("build")
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 5))
        net.register_forward_pre_hook(lambda module, inputs: done.append(f"{module.training} {len(inputs[0])}"))
        return net

    def memory(work: Any, device: torch.device) -> Memory:
        done.append("memory")
        work()
        done.append("remembered")
        return Memory("resident", 1.0, None, 2.0, 1.0)

    monkeypatch.setattr(process, "measure_memory", memory)
    monkeypatch.setattr(process, "peak_flops", lambda *about: done.append("peak") or 1e9)
    monkeypatch.setattr(profiling, "kept_peak", lambda *about: None)
    said: list[str] = []
    setting = Setting(build, 8, batch=4, train=True, seconds=0.0, min_repeats=2, warm_up=1)
    found = profiling.quick_profile(setting, said.append, fresh=True)
    step = ["False 1", *["True 4"] * 3]  # a training step looks at the classes first
    take = ["False 1"] * 3 + ["False 4"] * 3 + step
    counted = ["False 1"]
    remembered = ["memory", "False 4", "remembered", "False 1", "memory", *["True 4"] * 2, "remembered"]
    assert done == ["build", *remembered, *counted, *take, *take, "peak"]
    assert found["memory"]["training"]["peak_mib"] == 2.0 and found["peak_flops"] == 1e9
    assert found["throughput"]["repeats"] == 4 and found["throughput"]["warmup"] == 2 and "resting" in found
    words = "memory, then time of inference at batch 1 and 4 and of training steps, each twice"
    assert said == [f"{words}, and once for this machine its peak"]


def test_a_training_step_moves_only_what_is_trained() -> None:
    model = create_model("outgrid_nano", 10, 32)
    model.stem.requires_grad_(False)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    training_step(model, 2, 32, torch.device("cpu"))()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved and not any(name.startswith("stem") for name in moved)


def test_the_builder_loads_plugins(tmp_path: Any) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import torch\nimport levelfield.models as m\n"
        "@m.register_model('profiled_net')\n"
        "def net(num_classes):\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, num_classes))\n"
    )
    assert build("profiled_net", 5, 2, {}, (str(plugin),))[1].out_features == 5
