"""An exported run computes what the run computes, in its own runtime, and one that does not is no export."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.cli.export import _print
from levelfield.cost.energy import EnergyMeter
from levelfield.data import open_data
from levelfield.data.store.resize import Fit
from levelfield.errors import UserError
from levelfield.exports import export_run as export_module
from levelfield.exports import held_to_run
from levelfield.exports.export_run import export_run
from levelfield.exports.forms import FORMS, To
from levelfield.exports.pillow_in_graph import PillowInGraph
from levelfield.exports.program import Layout
from levelfield.spec import RunSpec
from levelfield.spec.overrides import apply
from levelfield.training import load_run, prepare, train_prepared
from needed import need

SMALL = {
    "model": {"name": "resnet_nano"},
    "data": {"name": "digits", "image_size": 16, "resize_px": 19, "train_limit": 400},
    "recipe": {
        "batch_size": 32, "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "cosine"},
        "augment": {"crop": {"name": "pad_crop", "padding_px": 1}}, "precision": "fp32", "validation": 0.1,
    },
    "budget": {"epochs": 3},
    "execution": {"device": "cpu", "threads": 1, "loggers": []},
}  # fmt: skip
ANY = torch.export.Dim.DYNAMIC


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "run"
    train_prepared(prepare(RunSpec.parse(apply(SMALL, ()), "run")), path)
    (path / "calibration.json").write_text(json.dumps({"temperature": 1.7}), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=list(To))
def exported(request: pytest.FixtureRequest, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an export."""
    need(*FORMS[request.param].packages)
    out = tmp_path_factory.mktemp("exported") / "out"
    export_run(run, request.param, out, batch_size=50)
    return out


def read(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "export.json").read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("branches", [True, False])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("kind", ["resize", "crop", "pad"])
def test_resizing_in_a_graph_is_pillows_to_the_byte(kind: str, interpolation: str, branches: bool) -> None:
    """Wide, tall and tiny images, noise and black and white, larger and smaller than the side, and of it."""
    side, crop = 37, 32
    fit = Fit(kind, side, interpolation)  # type: ignore[arg-type]
    example = torch.zeros(2, 3, 40, 50, dtype=torch.uint8)
    program = torch.export.export(
        PillowInGraph(fit, crop, branches), (example,), dynamic_shapes=({0: ANY, 2: ANY, 3: ANY},)
    )
    resize, random = program.module(), np.random.default_rng(0)
    sizes = [(37, 37), (37, 90), (120, 37), (1, 1), (2, 300), (300, 2), (90, 12), (74, 74), (36, 38), (81, 6)]
    for height, width in [*sizes, *random.integers(1, 200, (30, 2)).tolist()]:
        noise = random.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
        noise[1] = np.where(noise[1] > 127, 255, 0)
        begin = (side - crop) // 2
        wanted = np.stack([fit.apply(each)[begin : begin + crop, begin : begin + crop] for each in noise])
        found = resize(torch.from_numpy(noise).permute(0, 3, 1, 2).contiguous())
        assert (found.permute(0, 2, 3, 1).numpy() == wanted).all(), (height, width)


def test_an_export_was_tested_again_over_the_whole_test_set(run: Path, exported: Path) -> None:
    content = read(exported)
    test, sizes = content["tested"], content["other_sizes"]
    assert test["images"] == len(open_data(load_run(run).spec.data).test) == 449
    assert test["differing"] == 0 and test["right"] > 225
    assert test["logits_off"] < 1e-4 * test["largest_logit"] and test["probabilities_off"] < 1e-5
    assert test["top1"] == test["top1_in_torch"] == pytest.approx(content["recorded_top1"])
    assert sizes["images"] == 3 * 64 and sizes["differing"] == 0
    if content["to"] == "openvino":  # its float32 rounds some pixels to the next of 255 levels
        assert sizes["logits_off"] < 1e-2 * sizes["largest_logit"]
    else:
        assert sizes["logits_off"] < 1e-4 * sizes["largest_logit"]  # the bytes are equal, so only rounding is left
    assert [each["batch"] for each in content["latency"]] == [1, 50]
    assert all(each["ms"] > 0 and each["torch_ms"] > 0 for each in content["latency"])
    assert content["busy_percent"] is None or 0 <= content["busy_percent"] <= 100
    digests = {content["file"]: content["sha256"], **content["beside"]}
    assert {each.name for each in exported.iterdir()} == {"export.json", *digests}
    assert content["bytes"] == sum((exported / name).stat().st_size for name in digests)
    for name, digest in digests.items():
        assert digest == hashlib.sha256((exported / name).read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("busy", "said"), [(0.4, ""), (63.2, "others used 63 % of it"), (None, "whether it rested is not known")]
)
def test_times_of_a_machine_that_did_not_rest_are_said_to_be_such(
    exported: Path, busy: float | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _print({**read(exported), "busy_percent": busy}, exported)
    printed = " ".join(capsys.readouterr().out.split())
    assert "batch of 1 " in printed and (" machine " in printed) == bool(said) and said in printed


def test_the_file_says_of_files_what_predict_says(run: Path, exported: Path, tmp_path: Path) -> None:
    """Photos of any size: the caller decodes, the file does the rest, calibration included."""
    content = read(exported)
    runtime = FORMS[To(content["to"])].open(exported / content["file"], 1)
    random = np.random.default_rng(1)
    for number, (height, width) in enumerate([(19, 19), (40, 31), (100, 12)]):
        pixels = random.integers(0, 256, (3, height, width, 3), dtype=np.uint8)
        files = [tmp_path / f"{number}_{which}.png" for which in range(3)]
        for file, each in zip(files, pixels, strict=True):
            Image.fromarray(each).save(file)
        said = load_run(run).predict(files)
        assert said.temperatures == (1.7,)
        atol = 1e-3 if content["to"] == "openvino" else 1e-5  # pixels off by one of 255 levels
        np.testing.assert_allclose(runtime(pixels)[0], said.probabilities, atol=atol)


def test_the_onnx_file_names_what_it_is_and_asks_for_nothing_of_ours(run: Path, exported: Path) -> None:
    if read(exported)["to"] != "onnx":
        pytest.skip("about the other form")
    import onnx

    model = onnx.load(str(exported / "model.onnx"))
    notes = {each.key: each.value for each in model.metadata_props}
    assert json.loads(notes["levelfield.classes"]) == list(load_run(run).classes)
    assert notes["levelfield.identity"] == load_run(run).folder.identity
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [each.dim_value for each in shape] == [0, 0, 0, 3]


def test_the_openvino_file_names_what_it_is_takes_any_size_and_tells_nobody_of_its_use(
    run: Path, exported: Path
) -> None:
    if read(exported)["to"] != "openvino":
        pytest.skip("about the other form")
    import openvino

    model = openvino.Core().read_model(exported / "model.xml")
    (images,) = model.inputs
    assert images.any_name == "images" and str(images.partial_shape) == "[?,?,?,3]"
    assert [output.any_name for output in model.outputs] == ["probabilities", "logits"]
    assert json.loads(model.get_rt_info(["levelfield", "classes"]).astype(str)) == list(load_run(run).classes)
    assert model.get_rt_info(["levelfield", "identity"]).astype(str) == load_run(run).folder.identity
    # in a process where nobody else has imported it: its makers are told of every `import openvino`
    code = """if True:
        import sys
        from levelfield.exports.forms import FORMS, To
        FORMS[To.OPENVINO].check()
        print(sys.modules["openvino_telemetry"])
    """
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert said.stdout.split() == ["None"]


def test_an_export_that_loses_accuracy_is_an_error_and_stays_aside(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean of other data in the file, as when preprocessing is forgotten."""
    made = export_module.program_of

    def forgetful(*arguments: object) -> object:
        program = made(*arguments)  # type: ignore[arg-type]
        program.shift.add_(3.0)
        return program

    monkeypatch.setattr(export_module, "program_of", forgetful)
    with pytest.raises(UserError, match="loses accuracy: of 449 test images"):
        export_run(run, To.TORCH, tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {"lossy-export.json", "lossy-model.pt2"}
    content = export_run(run, To.TORCH, tmp_path, layout=Layout.NCHW, allow_loss=True)
    assert content["tested"]["top1"] < content["tested"]["top1_in_torch"]
    assert (tmp_path / "model.pt2").is_file() and (tmp_path / "export.json").is_file()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_export_that_computes_no_numbers_is_refused_whatever_is_allowed(
    value: float, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one image need be lost by it: the likeliest of no numbers is the first class."""
    made = export_module.program_of

    def broken(*arguments: object) -> object:
        program = made(*arguments)  # type: ignore[arg-type]
        program.shift.fill_(value)
        return program

    monkeypatch.setattr(export_module, "program_of", broken)
    with pytest.raises(UserError, match=r"the exported file gives .* for 50 of 50 images\nno file was kept"):
        export_run(run, To.TORCH, tmp_path, batch_size=50, allow_loss=True)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_export_leaves_what_was_there(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("export.json", "model.pt2"):
        (tmp_path / name).write_text("of an earlier export", encoding="utf-8")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    def interrupted(what: str, done: int, total: int) -> None:
        if what == "testing the export":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_run(run, To.TORCH, tmp_path, layout=Layout.NCHW, progress=interrupted)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_an_export_of_another_run_is_not_overwritten(run: Path, tmp_path: Path) -> None:
    export_run(run, To.TORCH, tmp_path / "out")
    before = {each.name: each.read_bytes() for each in (tmp_path / "out").iterdir()}
    for changed, said in (
        ({"identity": "0123abcdef"}, "of run 0123abcd, not"),
        ({"precision": "int8"}, "in int8, not fp32"),
    ):
        (tmp_path / "out" / "export.json").write_text(json.dumps({**read(tmp_path / "out"), **changed}))
        with pytest.raises(UserError, match=f"holds an export {said}"):
            export_run(run, To.TORCH, tmp_path / "out")
        assert (tmp_path / "out" / "model.pt2").read_bytes() == before["model.pt2"]
        (tmp_path / "out" / "export.json").write_bytes(before["export.json"])
    export_run(run, To.TORCH, tmp_path / "out")  # the same again


def test_bad_input_is_named(run: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(UserError, match="holds an export to another form"):
        export_run(run, To.TORCH, tmp_path)
    for arguments in (["--to", "tflite"], ["--to", "onnx", "--layout", "chwn"]):
        found = CliRunner().invoke(app, ["export", str(run), *arguments, "--out", str(tmp_path / "new")])
        assert isinstance(found.exception, UserError) and "unknown" in str(found.exception)
        assert not (tmp_path / "new").exists()


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(UserError, match=r"needs no_such_package.*\npip install 'levelfield\[export\]'"):
        replace(FORMS[To.ONNX], packages=("no_such_package",)).check()


def test_a_network_that_onnx_has_no_form_for_is_refused_in_a_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise RuntimeError("no decomposition\nof aten.something")

    monkeypatch.setattr(torch.onnx, "export", fails)
    program = torch.export.export(torch.nn.Identity(), (torch.zeros(1),))
    with pytest.raises(
        UserError, match=r"cannot be exported to ONNX: .*no decomposition of aten.something\n--to torch-e"
    ):
        FORMS[To.ONNX].write(program, {}, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_neither_program_is_timed_while_the_others_threads_still_spin() -> None:
    """Calls right after one of the other program are slow, as where its idle threads hold a core."""
    last: list[str] = []

    def program(name: str) -> None:
        time.sleep(0.001 if last[-1:] == [name] else 0.03)
        last.append(name)

    ours, theirs = held_to_run._in_turns(lambda: program("ours"), lambda: program("theirs"))
    assert min(len(ours.ms), len(theirs.ms)) >= 10 and max(np.median(ours.ms), np.median(theirs.ms)) < 15
    assert ours.joules is None or ours.joules > 0
    assert sum(one != other for one, other in pairwise(last)) >= 5


def test_each_program_has_the_joules_of_its_own_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    used = [0.0]
    monkeypatch.setattr(held_to_run, "energy_meter", lambda _: EnergyMeter(lambda: used[0], "a meter"))
    monkeypatch.setattr(held_to_run, "LATENCY_S", 0.1)
    monkeypatch.setattr(held_to_run, "TURN_S", 0.01)

    def program(joules: float) -> None:
        time.sleep(0.001)
        used[0] += joules

    ours, theirs = held_to_run._in_turns(lambda: program(8.0), lambda: program(2.0))
    assert (ours.joules_per(4), theirs.joules_per(1)) == (2.0, 2.0)
    assert ours.calls > len(ours.ms) >= 10
