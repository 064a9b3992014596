"""A pruned run: the smallest weights that it starts from are zero from the first step to the result."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch
from small_run import run_spec, stopped_at
from timm.layers import ScaledStdConv2d, StdConv2d, create_conv2d
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from levelfield.errors import UserError
from levelfield.models import create_model
from levelfield.models.layers import Pointwise
from levelfield.spec import Prune, RunSpec
from levelfield.training import load_run, prepare, train_prepared
from levelfield.training.pruning import Pruning, kept, prunable


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("parent") / "run"
    train_prepared(prepare(run_spec("budget={epochs: 1}")), out)
    return out


def pruned(parent: Path, *assignments: str) -> RunSpec:
    return run_spec(f"model.start_from.source={parent}", "recipe.prune.share=0.6", "budget={steps: 6}", *assignments)


def weights(folder: Path) -> dict[str, Tensor]:
    network = load_run(folder).model
    own = {id(weight) for weight in prunable(network)}
    return {name: value.detach() for name, value in network.named_parameters() if id(value) in own}


def test_the_smallest_weights_go() -> None:
    given = [torch.tensor([[0.1, -3.0], [0.2, 0.5]]), torch.tensor([0.3, -0.05, 2.0, 1.0])]
    everywhere = kept(given, Prune(share=0.5))
    assert [mask.tolist() for mask in everywhere] == [[[0, 1], [0, 1]], [0, 0, 1, 1]]
    each = kept(given, Prune(share=0.25, scope="layer"))
    assert [mask.tolist() for mask in each] == [[[0, 1], [1, 1]], [1, 0, 1, 1]]
    equal = kept([torch.ones(10)], Prune(share=0.3))
    assert equal[0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]


def test_norms_biases_and_tables_are_left_alone() -> None:
    network = create_model("vit_mini", num_classes=10, image_size=16)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    pruning = Pruning(network, Prune(share=0.5))
    touched = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    layers = {name for name, module in network.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))}
    assert touched and touched <= {f"{name}.weight" for name in layers}
    assert pruning.zeros == round(0.5 * sum(before[f"{name}.weight"].numel() for name in layers))


@pytest.mark.parametrize(
    "how", [[], ["recipe.averaging={name: ema, decay: 0.9}", "recipe.optimizer={name: sgd, lr: 0.05, momentum: 0.9}"]]
)
def test_they_stay_zero_to_the_result_and_the_others_are_trained(
    how: list[str], parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = pruned(parent, *how)
    result = train_prepared(prepare(spec), tmp_path / "run").result
    before, after = weights(parent), weights(tmp_path / "run")
    total = sum(value.numel() for value in before.values())
    assert sum(int((value == 0).sum()) for value in after.values()) == round(0.6 * total) == result["pruned_params"]
    assert result["prunable_params"] == total
    gone = torch.cat([before[name].abs()[value == 0] for name, value in after.items()])
    stays = torch.cat([before[name].abs()[value != 0] for name, value in after.items()])
    assert gone.max() <= stays.min()
    assert any(not torch.equal(before[name][value != 0], value[value != 0]) for name, value in after.items())
    stopped_at(3, spec, tmp_path / "cut", monkeypatch)
    train_prepared(prepare(spec), tmp_path / "cut")
    file = "weights.safetensors"
    assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "run" / file).read_bytes()
    assert safetensors.torch.load_file(tmp_path / "cut" / file)


def test_fresh_weights_are_not_pruned() -> None:
    with pytest.raises(UserError, match=r"this run starts from fresh ones\ngive model\.start_from\.source=RUN"):
        prepare(run_spec("recipe.prune={}"))


def normalised(layer: nn.Module) -> nn.Module:
    return parametrizations.weight_norm(layer)


@pytest.mark.parametrize(
    ("layer", "plain"),
    [
        (nn.Conv2d(4, 6, 3, padding=1), True),
        (nn.Conv2d(4, 8, 3, groups=2, dilation=2), True),
        (nn.Conv1d(4, 6, 3), True),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), True),
        (nn.Linear(4, 6), True),
        (create_conv2d(4, 6, 3, stride=2, padding="same"), True),
        (Pointwise(4, 6), True),
        (StdConv2d(4, 6, 3), False),
        (ScaledStdConv2d(4, 6, 3), False),
        (normalised(nn.Conv2d(4, 6, 3)), False),
        (normalised(nn.Linear(4, 6)), False),
        (nn.utils.spectral_norm(nn.Linear(4, 6)), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_layer_in_which_a_zero_is_none_is_refused(layer: nn.Module, plain: bool) -> None:
    network = nn.Sequential(OrderedDict(stem=layer, head=nn.Linear(6, 3)))
    if plain:
        assert Pruning(network, Prune(share=0.5)).zeros == round(0.5 * sum(w.numel() for w in prunable(network)))
        return
    with pytest.raises(UserError, match=r"recipe\.prune: stem \(.* computes with another weight than its own"):
        Pruning(network, Prune(share=0.5))


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_a_share_of_less_than_one_weight_is_refused_and_emptied_layers_are_said(scope: str) -> None:
    network = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    with pytest.raises(UserError, match=r"share 0\.000100 of 42 weights is none\ngive a larger share"):
        Pruning(network, Prune(share=0.0001, scope=scope))  # type: ignore[arg-type]
    with torch.no_grad():
        network[0].weight.mul_(1e-6)
    said = str(Pruning(network, Prune(share=24 / 42, scope=scope)))  # type: ignore[arg-type]
    assert said == "pruned: 24 of 42 weights are zero" + ("; 1 of 2 layers have none left" if scope == "global" else "")


@pytest.mark.parametrize(
    "how",
    [
        "recipe.regularisation.clip_norm=0.05",
        "recipe.optimizer={name: muon, lr: 0.01, momentum: 0.9}",
        "recipe.optimizer={name: lamb, lr: 0.01, weight_decay: 0.1}",
    ],
)
def test_what_was_pruned_has_no_part_in_the_steps_of_the_others(
    how: str, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if autograd had never given a gradient to a pruned weight."""
    spec = pruned(parent, how, "budget={steps: 3}")
    train_prepared(prepare(spec), tmp_path / "run")
    made = Pruning.__init__

    def hooked(self: Pruning, model: nn.Module, prune: Prune) -> None:
        made(self, model, prune)
        for weight in prunable(model):
            weight.register_hook((weight != 0).to(weight.dtype).mul)

    monkeypatch.setattr(Pruning, "__init__", hooked)
    monkeypatch.setattr(Pruning, "mask_gradients", lambda self: None)
    train_prepared(prepare(spec), tmp_path / "hooked")
    before, ours, theirs = (weights(folder) for folder in (parent, tmp_path / "run", tmp_path / "hooked"))
    for name, value in ours.items():
        assert not torch.equal(before[name] * (value != 0), value), "nothing was trained"
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=0)
