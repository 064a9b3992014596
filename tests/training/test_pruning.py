"""A pruned run: the smallest weights that it starts from are zero from the first step to the result."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from small_run import run_spec, stopped_at
from torch import Tensor, nn

from levelfield.errors import UserError
from levelfield.models import create_model
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
