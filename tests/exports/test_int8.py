"""An int8 export: products in int8, resizing as it was, calibrated on training images, and tested like any other."""

from __future__ import annotations

import importlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from levelfield.analysis import compression_ladder
from levelfield.analysis.exported_rungs import exported_rungs
from levelfield.cli.app import app
from levelfield.data import open_data
from levelfield.data.store.splits import Split
from levelfield.errors import UserError
from levelfield.exports import export_run as export_module
from levelfield.exports.export_run import export_run
from levelfield.exports.forms import FORMS, To
from levelfield.exports.int8 import quantise
from levelfield.page.sections.analyses import _ladder
from levelfield.runs import RunFolder
from levelfield.spec import RunSpec
from levelfield.training import load_run, prepare, train_prepared
from levelfield.training.fake_quantisation import input_grid, quantised_layers
from needed import need

need(*FORMS[To.ONNX].packages)
onnx: Any = importlib.import_module("onnx")

SMALL = {
    "model": {"name": "resnet_nano"},
    "data": {"name": "digits", "image_size": 16, "resize_px": 19, "train_limit": 600},
    "recipe": {
        "batch_size": 32, "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "cosine"},
        "precision": "fp32", "validation": 0.1,
    },
    "budget": {"epochs": 4},
    "execution": {"device": "cpu", "threads": 1, "loggers": []},
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "run"
    train_prepared(prepare(RunSpec.parse(SMALL, "run")), path)
    return path


@pytest.fixture(scope="module")
def seen() -> list[Split]:
    """The images that an export was calibrated on are of these."""
    return []


@pytest.fixture(scope="module")
def exported(run: Path, seen: list[Split], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "out"

    def noting(file: Path, train: Split, planes: bool) -> Any:
        seen.append(train)
        return quantise(file, train, planes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_module, "quantise", noting)
        export_run(run, To.ONNX, out, int8=True, batch_size=50, allow_loss=True)
    return out


def read(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "export.json").read_text(encoding="utf-8"))
    return content


def test_it_is_tested_over_the_whole_test_set(exported: Path) -> None:
    content = read(exported)
    test = content["tested"]
    assert content["precision"] == "int8" and test["images"] == 449
    assert test["top1_in_torch"] > 70 and abs(test["top1"] - test["top1_in_torch"]) < 3
    assert 0 < test["logits_off"] < 0.2 * test["largest_logit"]
    assert [each["batch"] for each in content["latency"]] == [1, 50]


def test_every_product_of_the_network_is_in_int8_and_resizing_is_as_it_was(run: Path, exported: Path) -> None:
    import onnx

    content = read(exported)
    model = onnx.load(str(exported / "model.onnx"))
    stored = {each.name: each.data_type for each in model.graph.initializer}
    assert content["int8"]["products"] == content["int8"]["of"] > 5
    assert sum(kind == onnx.TensorProto.INT8 for kind in stored.values()) >= content["int8"]["of"]
    (branch,) = [node for node in model.graph.node if node.op_type == "If"]
    inside = [node.op_type for attribute in branch.attribute for node in attribute.g.node]
    assert "MatMul" in inside and not [kind for kind in inside if "Quantize" in kind or "Linear" in kind]
    sizes = content["other_sizes"]
    assert sizes["images"] == 3 * 64 and sizes["differing"] == 0 and sizes["logits_off"] == 0
    notes = {each.key: each.value for each in model.metadata_props}
    assert notes["levelfield.precision"] == "int8" and notes["levelfield.identity"] == load_run(run).folder.identity


def test_it_is_calibrated_on_images_that_were_trained_on(run: Path, exported: Path, seen: list[Split]) -> None:
    data = open_data(load_run(run).spec.data)
    assert data.validation is not None
    (train,) = seen
    assert train.name == "train" and read(exported)["int8"]["images"] == 512
    assert set(train.index.tolist()) == set(data.train.index.tolist())
    assert not set(train.index.tolist()) & set(data.validation.index.tolist())


@pytest.mark.parametrize("points", [-100.0, 100.0])
def test_more_than_the_allowed_loss_is_an_error(
    points: float, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "MOST_LOST", points)
    if points > 0:
        assert export_run(run, To.ONNX, tmp_path, int8=True)["int8"]["of"] > 5
        return
    with pytest.raises(UserError, match="the export loses accuracy: of 449 test images"):
        export_run(run, To.ONNX, tmp_path, int8=True)
    assert {each.name for each in tmp_path.iterdir()} == {"lossy-export.json", "lossy-model.onnx"}


def test_it_is_a_rung_of_the_ladder_by_its_own_test(
    run: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression_ladder, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    whole, file = compression_ladder.rungs([run, exported], latency_seconds=0.01)
    content, result = read(exported), load_run(run).result
    assert (whole.model, whole.torch_latency_ms) == ("resnet_nano", None)
    assert (file.model, file.family, file.parent) == ("resnet_nano, onnx in int8", "resnet", "resnet_nano")
    assert file.done == "int8 file, calibrated after training"
    assert file.top1 == (content["tested"]["top1"],) and file.steps == result["steps"]
    assert (file.params_m, file.macs_m) == (whole.params_m, whole.macs_m)
    assert file.size_mib == (exported / "model.onnx").stat().st_size / 2**20 < whole.size_mib
    (one,) = (each for each in content["latency"] if each["batch"] == 1)
    assert (file.latency_ms, file.torch_latency_ms) == (one["ms"], one["torch_ms"])
    assert file.joules_per_image == one["joules_per_image"] and file.change == (file.top1[0] - whole.top1[0],)
    assert 0 < file.latency_q1_ms <= file.latency_ms <= file.latency_q3_ms

    shutil.copytree(run, tmp_path / "run")
    shown = CliRunner().invoke(app, ["analyze", "compression", str(tmp_path / "run"), str(exported), "--json"])
    assert [rung["parent"] for rung in json.loads(shown.stdout)["ladder"]] == [None, "resnet_nano"]
    (kept,) = (tmp_path / "run").glob("analysis/compression.json")  # the one folder that holds runs
    assert f"<td>{one['ms']:.1f} ({one['torch_ms']:.1f})</td>" in "".join(_ladder(json.loads(kept.read_text())))
    table = CliRunner().invoke(app, ["analyze", "compression", str(tmp_path / "run"), str(exported)]).stdout
    assert "in brackets PyTorch's in the same turns" in " ".join(table.split())


def test_an_export_that_cannot_stand_on_a_ladder_is_named(run: Path, exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "out")

    def refused(said: str, changes: dict[str, Any], *more: Path) -> None:
        (tmp_path / "out" / "export.json").write_text(json.dumps({**read(exported), **changes}), encoding="utf-8")
        with pytest.raises(UserError, match=said):
            exported_rungs({"whole": [RunFolder(run)]}, [tmp_path, *more])

    refused("is an export of run 0123abcd, which is in none of the folders", {"identity": "0123abcdef"})
    refused("was made of other weights than .* has now", {"weights": "0" * 64})
    refused("is not the file that was tested", {"sha256": "0" * 64})
    refused("does not say .*weights", {"weights": None})
    refused("are exports of one run in one form", {}, exported)


def test_other_forms_have_no_int8(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["export", str(tmp_path), "--to", "torch-export", "--int8", "--out", str(tmp_path)])
    assert isinstance(found.exception, UserError) and "--int8 is of --to onnx" in str(found.exception)


def test_a_run_that_was_trained_to_int8_keeps_the_ranges_that_it_learnt(run: Path, tmp_path: Path) -> None:
    after = {
        **SMALL, "model": {**SMALL["model"], "start_from": {"source": str(run)}}, "budget": {"epochs": 1},
        "recipe": {**SMALL["recipe"], "optimizer": {"name": "adamw", "lr": 3e-4}, "quantize_aware": {}},
    }  # fmt: skip
    trained = tmp_path / "trained"
    train_prepared(prepare(RunSpec.parse(after, "run")), trained)
    with pytest.raises(UserError, match=r"was trained to compute in int8 .*\n--to onnx --int8"):
        export_run(trained, To.ONNX, tmp_path / "float")
    content = export_run(trained, To.ONNX, tmp_path / "out", int8=True)
    layers = quantised_layers(load_run(trained).model)
    grids = {tuple(map(float, input_grid(layer.get_buffer("input_range")))) for layer in layers}
    assert content["int8"]["products"] == content["int8"]["of"] == len(layers)
    assert content["int8"]["learnt"] == len(grids)  # two layers read one tensor
    model = onnx.load(str(tmp_path / "out" / "model.onnx"))
    values = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    written = {
        (float(values[node.input[1]]), float(values[node.input[2]]))
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and values[node.input[1]].ndim == 0
    }
    assert grids <= written
    assert not any(node.domain == "levelfield" for node in model.graph.node)
    tested = content["tested"]
    assert tested["top1_in_torch"] == pytest.approx(content["recorded_top1"])
    assert tested["logits_off"] < 0.05 * tested["largest_logit"]
    said = CliRunner().invoke(app, ["export", str(trained), "--to", "onnx", "--int8", "-o", str(tmp_path / "out")])
    assert f"{len(grids)} ranges learnt in training" in said.stdout
