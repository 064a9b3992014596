"""A run of which channels are pruned: a narrower network, that is the same wherever it is built."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from small_run import SMOOTH, run_spec, stopped_at
from torch import Tensor, nn
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.cost import count_macs, count_parameters
from levelfield.errors import UserError
from levelfield.exports.export_run import export_run
from levelfield.exports.forms import To
from levelfield.models import create_model
from levelfield.models.channels import narrow
from levelfield.runs import RunFolder
from levelfield.spec import Channels, PruneChannels, RunSpec
from levelfield.tables.cost_columns import profile_of
from levelfield.training import load_run, prepare, train_prepared
from levelfield.training.channel_pruning import prune_channels, removable
from levelfield.training.evaluate_finished_run import run_test
from needed import need

SGD = "recipe.optimizer={name: sgd, lr: 0.05, momentum: 0.9}"


@pytest.fixture(autouse=True)
def needs_the_library(request: pytest.FixtureRequest) -> None:
    if "without_library" not in request.node.name:
        need("torch_pruning")


class Small(nn.Module):
    """Two convolutions and a classifier, whose channels' weights grow with their number from the last to the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.second, self.last = nn.Conv2d(8, 6, 3, padding=1), nn.Linear(6, 4)
        for layer in (self.first, self.second):
            for number, weight in enumerate(layer.weight.detach()):
                weight.fill_(1.0 / (1 + number))
        nn.init.ones_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(torch.relu(self.norm(self.first(x)))).relu()
        logits: Tensor = self.last(x.mean((2, 3)))
        return logits


def macs_of_small(first: int, second: int) -> int:
    return 64 * 9 * 3 * first + 64 * 9 * first * second + 4 * second


def test_the_smallest_channels_go_until_the_share_is_gone() -> None:
    network = Small()
    whole = macs_of_small(8, 6)
    assert count_macs(network, 8).total == whole == 41496
    said = prune_channels(network, PruneChannels(share=0.5), 8)
    assert macs_of_small(6, 4) == 24208 and macs_of_small(5, 4) == 20176  # the last step short of half, and the next
    assert (network.first.out_channels, network.norm.num_features, network.second.in_channels) == (5, 5, 5)
    assert (network.second.out_channels, network.last.in_features, network.last.out_features) == (4, 4, 4)
    assert network.first.weight[:, 0, 0, 0].tolist() == pytest.approx([1 / (1 + number) for number in range(5)])
    assert count_macs(network, 8).total == 20176 and "20.2 k of 41.5 k multiply-accumulates" in said
    other = Small()
    assert count_parameters(other).total == 27 * 8 + 2 * 8 + 9 * 8 * 6 + 6 + 6 * 4 + 4 == 698
    prune_channels(other, PruneChannels(share=0.5, of="params"), 8)
    assert count_parameters(other).total == 27 * 5 + 2 * 5 + 9 * 5 * 4 + 4 + 4 * 4 + 4 == 349


def test_a_network_without_its_silent_channels_computes_the_same() -> None:
    """Where the channels that go are zero already, nothing of the result changes: all that belongs to them went."""
    network = Small().eval()
    for layer in (network.first, network.norm):
        layer.weight.detach()[5:] = 0.0
    network.second.weight.detach()[4:] = 0.0
    assert network.second.bias is not None
    network.second.bias.detach()[4:] = 0.0
    images = torch.randn(4, 3, 8, 8)
    before = network(images)
    prune_channels(network, PruneChannels(share=0.5), 8)
    torch.testing.assert_close(network(images), before)


@pytest.mark.parametrize("name", ["resnet_nano", "vit_mini", "rexnet_tiny_0.35"])
def test_what_counts_its_channels_and_what_heads_share_stays(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name, num_classes=10, image_size=16)
    given = copy.deepcopy(network.state_dict())
    cut = {place for group in removable(network, 16) for channel in group for place in channel}
    assert cut and all(torch.equal(value, given[key]) for key, value in network.state_dict().items())
    layers = dict(network.named_modules())
    assert ("head", "outputs") not in cut
    assert not any(isinstance(layers[layer], nn.LayerNorm) for layer, _ in cut)
    if name == "vit_mini":  # only what lies between the two layers of an MLP is not normed or cut into heads
        assert {layer.split(".", 2)[-1] for layer, side in cut if side == "outputs"} == {"mlp.0"}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("parent") / "run"
    train_prepared(prepare(run_spec(SMOOTH, SGD, "budget={epochs: 1}")), out)
    return out


def pruned(parent: Path, *assignments: str) -> RunSpec:
    start = f"model.start_from.source={parent}"
    return run_spec(SMOOTH, SGD, start, "recipe.prune_channels.share=0.4", "budget={steps: 6}", *assignments)


@pytest.fixture(scope="module")
def cut(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("torch_pruning")
    out = tmp_path_factory.mktemp("cut") / "run"
    train_prepared(prepare(pruned(parent)), out)
    return out


def test_a_cut_run_is_read_back_without_its_parent_and_without_the_library(
    parent: Path, cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = RunFolder(parent).result(), RunFolder(cut).result()
    assert before is not None and after is not None
    assert 0.4 * before["macs"] < after["macs"] <= 0.6 * before["macs"] and after["params"] < before["params"]
    shutil.copytree(cut, tmp_path / "alone")
    description = (tmp_path / "alone/run.json").read_text(encoding="utf-8")
    (tmp_path / "alone/run.json").write_text(description.replace(str(parent), "nowhere"), encoding="utf-8")
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    run = load_run(tmp_path / "alone")
    assert count_parameters(run.model).total == after["params"] and count_macs(run.model, 16).total == after["macs"]
    tested = run_test(run, batch_size=100, target=torch.device("cpu"), keep_predictions=True).evaluation
    said = run.folder.predictions()
    assert said is not None and tested.predictions is not None and len(said.index) == 100
    np.testing.assert_allclose(tested.predictions.probabilities, said.probabilities, atol=1e-6)
    export_run(tmp_path / "alone", To.TORCH, tmp_path / "exported", batch_size=50)
    content = json.loads((tmp_path / "exported/export.json").read_text(encoding="utf-8"))
    assert content["tested"]["differing"] == 0 and content["tested"]["images"] == 100


def test_resumed_is_uninterrupted(parent: Path, cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = pruned(parent)
    stopped_at(3, spec, tmp_path / "again", monkeypatch)
    train_prepared(prepare(spec), tmp_path / "again")
    for file in ("weights.safetensors", "predictions.parquet"):
        assert (tmp_path / "again" / file).read_bytes() == (cut / file).read_bytes()


def test_what_starts_from_a_cut_run_is_as_narrow_and_can_be_cut_again(cut: Path, tmp_path: Path) -> None:
    start = f"model.start_from.source={cut}"
    narrow_already = RunFolder(cut).spec().model.channels
    assert narrow_already
    longer = prepare(run_spec(SMOOTH, SGD, start, "budget={steps: 2}"))
    assert longer.spec.model.channels == narrow_already
    weights = load_run(cut).model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in longer.build_model().state_dict().items())
    again = prepare(pruned(cut))
    assert count_macs(again.build_model(), 16).total <= 0.6 * count_macs(load_run(cut).model, 16).total
    moved = tmp_path / "weights.safetensors"  # as on another machine: the file alone, and the resolved configuration
    shutil.copy(RunFolder(cut).weights, moved)
    there = prepare(again.spec.changed({"model.start_from.source": str(moved)}))
    assert there.identity == again.identity


def test_a_profile_is_of_what_is_left(parent: Path, cut: Path) -> None:
    rows = {}
    for run in (parent, cut):
        measured = ["--batch", "2", "--seconds", "0", "--threads", "1", "--json"]
        done = CliRunner().invoke(app, ["profile", "--run", str(run), *measured])
        assert done.exit_code == 0, done.output
        (row,) = json.loads(done.stdout)["models"]
        result = RunFolder(run).result() or {}
        assert (row["params"], row["macs"]) == (result["params"], result["macs"])
        assert (row["model"], row["name"]) == ("roadmap_1", f"roadmap_1 ({run.parent.name}/run)")
        assert row["latency"]["ms_median"] > 0
        rows[run] = row
    spec = RunFolder(cut).spec()
    assert rows[parent]["channels"] is None and rows[cut]["channels"].keys() == (spec.model.channels or {}).keys()
    assert profile_of(list(rows.values()), spec) == rows[cut]
    assert profile_of([rows[parent]], spec) is None


def test_weights_alone_that_are_narrower_are_refused_unless_it_is_said_how(cut: Path, tmp_path: Path) -> None:
    """Of a transformer whose MLPs alone were cut most tensors fit, and the others were left at their fresh start."""
    network = create_model("vit_mini", 10, 16)
    narrow(network, {"blocks.0.mlp.0": Channels(outputs=8), "blocks.0.mlp.2": Channels(inputs=8)})
    safetensors.torch.save_file(network.state_dict(), tmp_path / "vit.safetensors")
    with pytest.raises(
        UserError, match=r"has fewer channels than the network in 2 layers \(blocks.0.mlp.0.weight: \(8, "
    ):
        create_model("vit_mini", 10, 16, start_from=str(tmp_path / "vit.safetensors"))
    alone = tmp_path / "weights.safetensors"
    shutil.copy(RunFolder(cut).weights, alone)
    spec = run_spec(SMOOTH, SGD, f"model.start_from.source={alone}", "budget={steps: 2}")
    with pytest.raises(UserError, match=r"of a run of which channels were pruned\ngive its folder, or model\.channels"):
        prepare(spec).build_model()
    said = spec.changed({"model.start_from.channels": RunFolder(cut).spec().model.channels})
    built = prepare(said).build_model().state_dict()
    assert all(torch.equal(value, built[name]) for name, value in load_run(cut).model.state_dict().items())


def test_how_much_is_part_of_the_identity(parent: Path, cut: Path) -> None:
    plain = prepare(run_spec(SMOOTH, SGD, f"model.start_from.source={parent}", "budget={steps: 6}"))
    other = prepare(pruned(parent, "recipe.prune_channels.share=0.41"))
    assert len({plain.identity, other.identity, RunFolder(cut).identity}) == 3
    with pytest.raises(UserError, match=r"model\.channels says other channels than are left"):
        prepare(other.spec.changed({"model.channels": {"head": Channels(inputs=1)}}))


@pytest.mark.parametrize("share", [0, 1, -0.5])
def test_a_share_is_between_none_and_all(share: float) -> None:
    with pytest.raises(UserError, match=r"recipe\.prune_channels\.share"):
        run_spec(f"recipe.prune_channels.share={share}")


def test_no_layer_is_emptied() -> None:
    with pytest.raises(UserError, match=r"share 0\.95 cannot be reached: 0\.944 of the multiply-accumulates are gone"):
        prune_channels(Small(), PruneChannels(share=0.95), 8)


class Unequal(nn.Module):
    """Its classes are what its only convolution gives: nothing lies between that could go."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.only(x).mean((2, 3))
        return logits


class Untraceable(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.detach().numpy())


def test_what_cannot_be_cut_is_told() -> None:
    with pytest.raises(UserError, match="no channel of this network can be taken out by itself"):
        removable(Unequal(), 8)
    with pytest.raises(UserError, match=r"^recipe\.prune_channels: torch-pruning cannot trace this network: .+$"):
        removable(Untraceable(), 8)


def test_fresh_weights_and_modules_of_ones_own_are_not_cut() -> None:
    with pytest.raises(UserError, match=r"starts from fresh weights\ngive model\.start_from\.source=RUN"):
        prepare(run_spec("recipe.prune_channels={}"))


def test_without_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(UserError, match=r"^recipe\.prune_channels needs torch-pruning: pip install"):
        removable(Small(), 8)


def test_without_library_a_network_is_built_as_narrow_as_it_is_said_to_be() -> None:
    network = Small()
    narrow(network, {"first": Channels(outputs=5), "norm": Channels(outputs=5), "second": Channels(inputs=5)})
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 4)
    for layer, channels, said in (
        ("first", Channels(outputs=9), "and first has 5 of them"),
        ("norm", Channels(inputs=2), "is none of this network that has such"),
        ("third", Channels(outputs=2), "and third is none of this network"),
    ):
        with pytest.raises(UserError, match=said):
            narrow(network, {layer: channels})
