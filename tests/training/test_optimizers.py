"""Optimisers by name and the groups that they get: every parameter once, decayed where it should be."""

from __future__ import annotations

import inspect

import pytest
import torch
from timm.optim import get_optimizer_info
from torch import nn

from levelfield.errors import UserError
from levelfield.models import create_model
from levelfield.module_mode import frozen_names
from levelfield.spec import Averaging, Freeze, Optimizer, list_recipes, load_recipe
from levelfield.training.averaging import WeightAverage
from levelfield.training.optimizers import make_optimizer, parameter_groups
from levelfield.training.optimizers_of_timm import ALONE, optimizer_of_timm

MODELS = ["resnet_nano", "convnext_nano_p2", "vit_mini", "outgrid_nano"]


def spec(**values: object) -> Optimizer:
    return Optimizer.parse({"name": "adamw", "lr": 0.01, "weight_decay": 0.05, **values}, "optimizer")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("layer_decay", [1.0, 0.7])
def test_every_parameter_is_in_exactly_one_group(name: str, layer_decay: float) -> None:
    model = create_model(name, num_classes=10, image_size=16)
    groups = parameter_groups(spec(layer_decay=layer_decay), model)
    names = [key for group in groups for key in group["names"]]
    assert sorted(names) == sorted(key for key, _ in model.named_parameters())
    ids = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", MODELS)
def test_decay_spares_norms_biases_scales_and_tables(name: str) -> None:
    model = create_model(name, num_classes=10, image_size=16)
    decayed = {n for g in parameter_groups(spec(), model) if g.get("weight_decay") != 0.0 for n in g["names"]}
    parameters = dict(model.named_parameters())
    assert decayed and all(parameters[key].ndim >= 2 for key in decayed)
    assert not any(word in key for key in decayed for word in ("bias", "norm", "pos_embed", "cls_token", "gamma"))
    assert {
        n for g in parameter_groups(spec(decay_all=True), model) for n in g["names"] if "weight_decay" not in g
    } == {*parameters}


def test_layer_decay_falls_from_the_head_down() -> None:
    model = create_model("resnet_nano", num_classes=10, image_size=16)
    factor = {n: g["lr_factor"] for g in parameter_groups(spec(layer_decay=0.5), model) for n in g["names"]}
    names = [name for name, _ in model.named_parameters()]
    assert factor[names[-1]] == 1.0
    assert factor[names[0]] == min(factor.values()) < 0.3


def test_optimizers_read_without_the_rest_of_timm_are_timms() -> None:
    for name in ALONE:
        factory, defaults = optimizer_of_timm(name, [])
        timms = get_optimizer_info(name)
        assert inspect.getsource(factory) == inspect.getsource(timms.opt_class)
        assert defaults == dict(timms.defaults or {})


def test_muon_leaves_the_head_to_adamw() -> None:
    model = create_model("resnet_nano", num_classes=10, image_size=16)
    fallback = [n for g in parameter_groups(spec(name="muon"), model) if g.get("use_fallback") for n in g["names"]]
    assert fallback == [name for name, _ in model.named_parameters()][-2:]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "adamv"}, "did you mean 'adam"),
        ({"options": {"amsgard": True}}, "did you mean 'amsgrad'"),
        ({"name": "adamw", "momentum": 0.9}, "no setting 'momentum'"),
        ({"lr_factors": {"hat.*": 2.0}}, "matches no trainable parameter"),
        ({"name": "sgd", "nesterov": True}, "refuses its settings"),
        ({"name": "rprop", "weight_decay": 0.1}, "has no weight decay"),
    ],
)
def test_bad_settings_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_optimizer(spec(**values), create_model("resnet_nano", num_classes=10, image_size=16))


@pytest.mark.parametrize("name", list_recipes())
def test_every_shipped_recipe_has_optimisers_that_step(name: str) -> None:
    recipe = load_recipe(name).recipe
    for chosen in (recipe.optimizer, *(phase.optimizer for phase in recipe.phases)):
        torch.manual_seed(0)
        model = create_model("resnet_nano", num_classes=10, image_size=16)
        before = [parameter.detach().clone() for parameter in model.parameters()]
        optimizer = make_optimizer(chosen, model)
        model(torch.randn(4, 3, 16, 16)).square().sum().backward()
        optimizer.step()
        assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_average_is_the_formula_and_takes_buffers_along() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    average = WeightAverage(model, Averaging(name="ema", decay=0.5))
    expected = {key: value.clone().double() for key, value in model.state_dict().items()}
    for update in range(1, 6):
        model(torch.randn(4, 3, 5, 5) * update)
        with torch.no_grad():
            model[0].weight.add_(1.0)
        average.update(model)
        decay = min(0.5, (1 + update) / (10 + update))
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                expected[key] = decay * expected[key] + (1 - decay) * value.double()
            else:
                expected[key] = value.double()
    for key, value in average.module.state_dict().items():
        torch.testing.assert_close(value.double(), expected[key], rtol=1e-5, atol=1e-6)


def test_frozen_patterns_must_match() -> None:
    model = create_model("resnet_nano", num_classes=10, image_size=16)
    names = [name for name, _ in model.named_parameters()]
    assert frozen_names(model, Freeze(patterns=(names[0],))) == {names[0]}
    with pytest.raises(UserError, match="matches no parameter"):
        frozen_names(model, Freeze(patterns=("nothing.*",)))
