"""Runs on the Hugging Face Hub, held to a local fake of its HTTP interface: pushed, read back, started from."""

from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fake_hub import FakeHub
from levelfield.cli.app import app
from levelfield.cli.train import assemble
from levelfield.errors import UserError
from levelfield.exports import hub_repository
from levelfield.exports.hub_repository import push_run
from levelfield.models import create_model, weights_digest
from levelfield.runs import RunFolder, at_commit, find_runs, place, same_repository
from levelfield.spec import RunSpec
from levelfield.training import load_run, prepare, train_prepared

TOKEN = "hf_a_secret_that_no_file_and_no_line_may_hold"
FAST = {
    "data": {"name": "digits", "image_size": 16, "train_limit": 60, "test_limit": 40},
    "recipe": {"batch_size": 20, "precision": "fp32", "validation": 0.2},
    "budget": {"steps": 2},
    "execution": {"device": "cpu", "threads": 1, "loggers": []},
}
IMAGES = list(np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8))


def trained(folder: Path, model: str, size: int = 16, **changes: Any) -> Path:
    config = {**FAST, "model": {"name": model}, "data": {**FAST["data"], "image_size": size}}
    train_prepared(prepare(RunSpec.parse(config, "run").changed(changes)), folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = trained(tmp_path_factory.mktemp("hub") / "first", "resnet_nano")
    (path / "calibration.json").write_text(json.dumps({"temperature": 1.7}), encoding="utf-8")
    return path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub without repositories, a cache without files, a user who is logged in."""
    from huggingface_hub import constants

    server = FakeHub(TOKEN)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.close()


def shell(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_a_pushed_run_predicts_from_the_hub_what_it_predicts_here(run: Path, hub: FakeHub, tmp_path: Path) -> None:
    told = shell("hub", "push", str(run), "you/net", "--private", "--license", "mit", "--json")
    assert told.exit_code == 0, told.exception
    said = json.loads(told.stdout)
    pushed = hub.repositories["you/net"]
    assert (
        pushed.private and said["commit"] == pushed.refs["main"] and said["source"] == f"hub:you/net@{said['commit']}"
    )
    files = pushed.commits[said["commit"]]
    assert {each["name"] for each in said["files"]} == set(files) - {".gitattributes"}
    assert {"README.md", "config.json", "run.json", "result.json", "model.safetensors", "calibration.json"} <= set(
        files
    )
    here, there = load_run(run), load_run("hub:you/net")
    assert there.folder.identity == here.folder.identity and there.spec.data.name == "digits"
    one, other = here.predict(IMAGES), there.predict(IMAGES)
    assert other.classes == one.classes and other.temperatures == (1.7,)
    np.testing.assert_array_equal(other.probabilities, one.probabilities)
    assert place("hub:you/net") == place(said["source"])
    config = json.loads(files["config.json"])
    assert "architecture" not in config and not said["timm"]  # resnet_nano is levelfield's own
    assert config["levelfield"]["preprocessing"]["mean"] == here.folder.description()["mean"]
    card = files["README.md"].decode()
    assert 'lf.load_run("hub:you/net")' in card and "timm cannot rebuild this network" in card
    (file,) = re.findall(r"levelfield train --config (\S+) ", card)
    assert file not in {"run.json", "config.json"} and "page" not in card
    (tmp_path / file).write_bytes(files[file])  # what the card says to do, with what lies beside it
    again = assemble(tmp_path / file, None, None, None, None, [], [])
    assert prepare(again).spec.identity() == here.folder.identity
    assert "license: mit" in card and str(run.parent) not in card and "RUN_FOLDER" not in card


def test_pushing_again_replaces_what_the_run_no_longer_has(run: Path, hub: FakeHub) -> None:
    first = push_run(run, "you/net")
    kept = (run / "calibration.json").read_bytes()
    (run / "calibration.json").unlink()
    try:
        second = push_run(run, "you/net")
    finally:
        (run / "calibration.json").write_bytes(kept)
    assert first["commit"] != second["commit"]
    assert load_run("hub:you/net").predict(IMAGES).temperatures == (1.0,)
    assert load_run(f"hub:you/net@{first['commit']}").predict(IMAGES).temperatures == (1.7,)


def test_a_run_that_starts_from_the_hub_names_the_commit_and_the_weights(
    run: Path, hub: FakeHub, tmp_path: Path
) -> None:
    first = push_run(run, "you/net")
    spec = RunSpec.parse({**FAST, "model": {"name": "resnet_nano", "start_from": {"source": "hub:you/net"}}}, "run")
    resolved = prepare(spec).spec
    start = resolved.model.start_from
    assert start is not None and start.source == f"hub:you/net@{first['commit']}"
    assert start.digest == weights_digest(str(run / "weights.safetensors"))
    local = prepare(spec.changed({"model.start_from.source": str(run)})).spec
    assert resolved.identity() == local.identity()  # of equal weights it is one run, wherever they lie
    hub.repositories["you/net"].commit({})  # the branch moves on
    train_prepared(prepare(resolved), tmp_path / "tuned")
    assert RunFolder(tmp_path / "tuned").spec().model.start_from == start
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        prepare(spec)
    other = create_model("resnet_nano", num_classes=10, start_from=start.source)
    for name, tensor in load_run(run).model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_all_runs_of_a_study_start_from_one_commit_though_the_branch_moves(
    run: Path, hub: FakeHub, tmp_path: Path
) -> None:
    push_run(run, "you/net")
    hub.moving = True
    study = {
        "data": FAST["data"], "recipes": "digits-fast", "budget": {"steps": 1}, "seeds": 2, "models": ["resnet_nano"],
        "set": {"recipe.validation": 0.1, "model.start_from": {"source": "hub:you/net"}},
    }  # fmt: skip
    (tmp_path / "tiny.yaml").write_text(json.dumps(study), encoding="utf-8")
    asked = ["study", "run", str(tmp_path / "tiny.yaml"), "--yes", "--out", str(tmp_path / "out")]
    told = shell(*asked)
    assert told.exit_code == 0, told.exception
    runs = find_runs(tmp_path / "out")
    starts = [each.spec().model.start_from for each in runs]
    (source,) = {start.source for start in starts if start is not None}
    assert len(starts) == 2 and len(hub.repositories["you/net"].commits) > 2
    assert source.removeprefix("hub:you/net@") in hub.repositories["you/net"].commits
    before = [(each.path / "result.json").stat().st_mtime_ns for each in runs]
    assert shell(*asked).exit_code == 0
    assert [(each.path / "result.json").stat().st_mtime_ns for each in find_runs(tmp_path / "out")] == before


def test_what_the_cache_holds_needs_no_hub(run: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    said = push_run(run, "you/net")
    load_run("hub:you/net")
    before = len(hub.requests)
    load_run(said["source"])
    assert len(hub.requests) == before  # a commit never changes
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert at_commit("hub:you/net") == said["source"]
    assert load_run("hub:you/net").folder.identity == load_run(run).folder.identity
    assert len(hub.requests) == before
    with pytest.raises(UserError, match="nor is the Hub within reach"):
        load_run("hub:you/absent")


@pytest.mark.parametrize(("size", "loads"), [(160, True), (32, False)])
def test_timm_loads_what_is_its_own_and_unresized(size: int, loads: bool, hub: FakeHub, tmp_path: Path) -> None:
    import timm

    path = trained(tmp_path / "theirs", "timm:test_resnet", size, **{"data.resize_px": 176 if loads else 36})
    said = push_run(path, "you/theirs")
    files = hub.repositories["you/theirs"].commits[said["commit"]]
    card, config = files["README.md"].decode(), json.loads(files["config.json"])
    assert said["timm"] is loads and ("architecture" in config) is loads
    if not loads:
        assert load_run("hub:you/theirs").folder.identity == said["identity"]
        assert f"levelfield has fitted it to images of {size} px" in said["timm_why_not"]
        assert said["timm_why_not"] in card and "hf-hub:" not in card
        return
    assert 'timm.create_model("hf-hub:you/theirs", pretrained=True)' in card
    network = timm.create_model("hf-hub:you/theirs", pretrained=True).eval()
    here = load_run(said["source"])  # what timm left in the cache is not all of the run
    assert config["label_names"] == list(here.classes)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    pixels = np.repeat(np.random.default_rng(0).integers(0, 256, (22, 22, 3), dtype=np.uint8), 8, axis=0).repeat(
        8, axis=1
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")  # of the run's own size, so that no filter comes in
    with torch.inference_mode():
        theirs = network(transform(Image.fromarray(pixels)).unsqueeze(0))
        own = here.model(here.preprocess(buffer.getvalue()))
    np.testing.assert_allclose(theirs.numpy(), own.numpy(), atol=1e-3 * float(own.abs().max()))


def test_timm_finds_the_side_to_resize_to_in_the_share_that_it_is_told() -> None:
    """size / (size / side) is less than the side by a rounding where timm then cuts: of 28 px, 50 became 49."""
    for size in range(8, 513, 4):
        for side in range(size, 2 * size + 1):
            share = hub_repository._crop_share(size, side)
            assert math.floor(size / share) == side and share == pytest.approx(size / side), (size, side)


def test_a_folder_is_written_instead_where_nothing_shall_be_sent(run: Path, hub: FakeHub, tmp_path: Path) -> None:
    told = shell("hub", "push", str(run), "you/net", "--out", str(tmp_path / "repository"))
    assert told.exit_code == 0 and "not sent" in told.stdout
    assert hub.requests == []
    assert load_run(tmp_path / "repository").folder.identity == load_run(run).folder.identity
    again = shell("hub", "push", str(run), "you/net", "--out", str(tmp_path / "repository"))
    assert isinstance(again.exception, UserError) and "not empty" in str(again.exception)


@pytest.mark.parametrize(
    "name", ["net", "you/net/more", "you/", "yo u/net", "you/net..", "../net", "you/n--t", "you/" + "n" * 96]
)
def test_a_name_of_no_repository_is_refused_before_anything_is_asked(name: str, run: Path, hub: FakeHub) -> None:
    told = shell("hub", "push", str(run), name)
    assert isinstance(told.exception, UserError) and "names no repository" in str(told.exception)
    with pytest.raises(UserError, match="names no repository"):
        load_run(f"hub:{name}")
    with pytest.raises(UserError, match=r"run: model\.start_from\.source: .*names no repository"):
        RunSpec.parse({**FAST, "model": {"name": "resnet_nano", "start_from": {"source": f"hub:{name}"}}}, "run")
    assert hub.requests == []


def test_what_is_not_there_is_told_in_a_line(run: Path, hub: FakeHub) -> None:
    push_run(run, "you/net")
    with pytest.raises(UserError, match=r"^you/absent: .*no such repository"):
        load_run("hub:you/absent")
    with pytest.raises(UserError, match=r"^you/net at next: the repository has no such revision"):
        load_run("hub:you/net@next")
    with pytest.raises(UserError, match="names no revision"):
        load_run("hub:you/net@")


def test_two_sources_of_one_repository_are_one_place_unless_their_commits_differ() -> None:
    one, other = "a" * 40, "b" * 40
    assert same_repository("hub:you/net", f"hub:you/net@{one}") and same_repository("hub:you/net", "hub:you/net")
    assert same_repository(f"hub:you/net@{one}", f"hub:you/net@{other}") is False
    assert same_repository("hub:you/net", "hub:you/other") is False
    assert same_repository("hub:you/net", "runs/first") is False
    assert same_repository("runs/first", "runs/first") is None


def test_a_run_of_a_plugin_is_not_pushed(hub: FakeHub, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from torch import nn\nimport levelfield\n@levelfield.register_model('mine')\n"
        "def build(num_classes): return nn.Sequential(nn.Flatten(), nn.Linear(768, num_classes))\n",
        encoding="utf-8",
    )
    config = {**FAST, "model": {"name": "mine"}, "plugins": [{"path": str(plugin)}]}
    path = tmp_path / "own"
    train_prepared(prepare(RunSpec.parse(config, "run")), path)
    with pytest.raises(UserError, match=r"its network comes from your mine\.py"):
        push_run(path, "you/own")
    assert hub.requests == []


def test_a_repository_cannot_have_code_of_this_machine_run(run: Path, hub: FakeHub, tmp_path: Path) -> None:
    push_run(run, "you/net")
    here = hub.repositories["you/net"]
    files = dict(here.commits[here.refs["main"]])
    marker = tmp_path / "ran"
    (tmp_path / "setup.py").write_text(f"open({str(marker)!r}, 'w').close()", encoding="utf-8")
    described = json.loads(files["run.json"])
    described["run"]["plugins"] = [{"path": str(tmp_path / "setup.py"), "digest": "0" * 64}]
    here.commit({**files, "run.json": json.dumps(described).encode()})
    with pytest.raises(UserError, match=r"the run of a plugin, setup\.py"):
        load_run("hub:you/net")
    assert not marker.exists()


def test_the_token_is_in_no_file_no_line_and_no_error(run: Path, hub: FakeHub, tmp_path: Path) -> None:
    """Also where a server repeats it: in a process of its own, as users have it."""
    hub.repositories.clear()
    code = "from levelfield.cli.app import main; main()"
    env = {
        "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HOME": str(tmp_path / "hf"), "TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path / "home"),
    }  # fmt: skip
    for name in ("tmp", "home"):
        (tmp_path / name).mkdir()

    def levelfield(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], env={**os.environ, **env}, cwd=tmp_path, capture_output=True,
            text=True, encoding="utf-8", timeout=300,
        )  # fmt: skip

    done = [levelfield("hub", "push", str(run), "you/net")]
    assert done[0].returncode == 0, done[0].stderr
    for status in (401, 400):
        hub.failing = status
        done.append(levelfield("hub", "push", str(run), "you/net"))
        assert done[-1].returncode == 2 and f"({status})" in done[-1].stderr, done[-1].stderr
        assert "Traceback" not in done[-1].stderr and len(done[-1].stderr.strip().splitlines()[-2:]) == 2
    for each in done:
        assert TOKEN not in each.stdout + each.stderr
    kept = [path for path in [*tmp_path.rglob("*"), *run.rglob("*")] if path.is_file()]
    assert kept and not [path for path in kept if TOKEN.encode() in path.read_bytes()]
    for commit in hub.repositories["you/net"].commits.values():
        assert not [name for name, data in commit.items() if TOKEN.encode() in data]
