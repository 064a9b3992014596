"""AdamP and SGDP without a decision by the host go where timm's go."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from timm.optim.adamp import projection

from levelfield.models import create_model
from levelfield.spec import Optimizer
from levelfield.training import projected_updates
from levelfield.training.optimizers import make_optimizer
from levelfield.training.projected_updates import projection_on_device


@pytest.mark.parametrize("kind", ["channels", "whole", "neither"])
def test_each_decision_is_timms(kind: str) -> None:
    torch.manual_seed(0)
    p, perturb = torch.randn(6, 4, 3, 3), torch.randn(6, 4, 3, 3)
    grad = torch.randn(6, 4, 3, 3)
    if kind == "channels":  # orthogonal in every channel
        grad = grad - p * (grad * p).sum((1, 2, 3), keepdim=True) / (p * p).sum((1, 2, 3), keepdim=True)
    elif kind == "whole":  # orthogonal in all, though in no channel
        grad = p.clone()
        grad[:3] *= -1
        grad -= p * (grad * p).sum() / (p * p).sum()
    else:
        grad = p.clone()
    mine, ratio = projection_on_device(p, grad, perturb.clone(), 0.1, 0.25, 1e-8)
    theirs, known = projection(p, grad, perturb.clone(), 0.1, 0.25, 1e-8)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    assert float(ratio) == known == (1.0 if kind == "neither" else 0.25)


@pytest.mark.parametrize("name", ["adamp", "sgdp"])
@pytest.mark.parametrize("on_device", [False, True])
def test_runs_of_both_are_timms(name: str, on_device: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm.optim

    models = [create_model("resnet_nano", 10, 16) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    momentum = {"momentum": 0.9} if name == "sgdp" else {}
    spec = Optimizer.parse({"name": name, "lr": 0.01, "weight_decay": 0.05, **momentum}, "optimizer")
    mine = make_optimizer(spec, models[0])
    info = timm.optim.get_optimizer_info(name)
    twins = dict(zip(models[0].parameters(), models[1].parameters(), strict=True))
    groups = [
        {key: value for key, value in group.items() if key != "names"} | {"params": [twins[p] for p in group["params"]]}
        for group in mine.param_groups
    ]
    theirs = info.opt_class(groups, lr=0.01, weight_decay=0.05, **{**(info.defaults or {}), **momentum})
    if on_device:
        monkeypatch.setattr(projected_updates, "DECIDED_BY_THE_HOST", ())
    for step in range(3):
        x = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(step))
        for model, optimizer in zip(models, (mine, theirs), strict=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x), torch.arange(8)).backward()
            optimizer.step()
    for p, q in twins.items():
        if on_device:
            torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)
        else:
            assert torch.equal(p, q)
