"""BatchNorm over the global batch, for every network that there is: the same network, and two processes are one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
import torch.distributed as dist
from timm.layers import DropPath as TimmDropPath
from timm.layers import EvoNorm2dB0, SyncBatchNormAct
from torch import Tensor, nn
from torch.nn import functional as F
from two_ranks import RANKS, on_two_ranks

from levelfield.data import from_arrays, make_loader
from levelfield.errors import UserError
from levelfield.models import create_model, list_models, model_info, on_meta
from levelfield.models.stochastic_depth import DropPath
from levelfield.module_mode import TrainingMode
from levelfield.spec import Averaging, Freeze, Recipe
from levelfield.training.averaging import WeightAverage
from levelfield.training.batch_inputs import evaluation_transform
from levelfield.training.evaluate_model import evaluate_model
from levelfield.training.processes import World
from levelfield.training.synchronise_batchnorm import synchronise_batchnorm

BATCHNORM = nn.modules.batchnorm._BatchNorm
REGISTRY = [name for name in list_models() if model_info(name).plugin is None]
TIMM = {
    # one of timm's models for each kind of norm: (px, what its norms are)
    "dla46x_c": (64, {"BatchNorm2d"}),
    "test_byobnet": (64, {"BatchNormAct2d"}),
    "efficientvit_m0": (224, {"BatchNorm2d", "BatchNorm1d"}),
    "efficientnet_b0_gn": (64, {"GroupNormAct"}),
    "coatnext_nano_rw_224": (224, {"LayerNorm2d", "LayerNormAct2d"}),
    "convnext_zepto_rms": (64, {"SimpleNorm2d"}),
    "edgenext_xx_small": (64, {"LayerNorm", "LayerNorm2d"}),
    "ese_vovnet39b_evos": (64, {"EvoNorm2dS0"}),
    "vit_tiny_patch16_224": (224, {"LayerNorm"}),
}


def build(name: str, seed: int = 0) -> tuple[nn.Module, int]:
    """(the network with norms that do something, the side of its images in px)."""
    torch.manual_seed(seed)
    if name in TIMM:
        model, side = timm.create_model(name, num_classes=5), TIMM[name][0]
    else:
        side = 64 if name.startswith("roadmap") else 32  # BatchNorm over two values passes no gradient
        model = create_model(name, 5, side)
    for module in model.modules():
        if isinstance(module, BATCHNORM):
            for parameter in module.parameters(recurse=False):
                nn.init.normal_(parameter, 0.5, 0.2)
            nn.init.normal_(module.running_mean, 0.0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model, side


def images(side: int, count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def has_batchnorm(model: nn.Module) -> bool:
    return any(isinstance(module, BATCHNORM) for module in model.modules())


def far(got: Tensor, expected: Tensor) -> float:
    """Their largest difference, in units of the largest expected value."""
    return float((got - expected).abs().max() / expected.abs().max().clamp_min(1e-9))


def test_the_table_of_timm_names_the_norms_that_it_says() -> None:
    for name, (_, kinds) in TIMM.items():
        with torch.device("meta"):
            model = timm.create_model(name)
        classes = {type(module).__name__ for module in model.modules()}
        assert kinds <= classes, name
        assert {kind for kind in classes if "BatchNorm" in kind} == {kind for kind in kinds if "BatchNorm" in kind}, (
            name
        )


@pytest.mark.parametrize("name", [*REGISTRY, *TIMM])
def test_a_converted_network_is_the_same_in_evaluation_and_reads_back(name: str) -> None:
    """For CPUs and for GPUs (whose norms evaluate on a CPU too); without BatchNorm nothing is touched."""
    model, side = build(name)
    model.eval()
    x = images(side, 1)
    with torch.no_grad():
        expected = model(x)
        for device in ("cpu", "cuda"):
            converted = synchronise_batchnorm(copy.deepcopy(model), torch.device(device))
            kinds = [
                (type(before), type(after)) for before, after in zip(model.modules(), converted.modules(), strict=True)
            ]
            assert all((before is not after) is issubclass(before, BATCHNORM) for before, after in kinds)
            assert list(converted.state_dict()) == list(model.state_dict())
            assert [key for key, _ in converted.named_modules()] == [key for key, _ in model.named_modules()]
            if not has_batchnorm(model):
                continue
            assert far(converted(x), expected) < 1e-4, device
            for value in model.state_dict().values():
                value.zero_()
            model.load_state_dict(converted.state_dict(), strict=True)
            assert torch.equal(model(x), expected), device


def test_gpus_get_norms_that_keep_timms_activation() -> None:
    model = synchronise_batchnorm(build("efficientnet_b0_s1")[0], torch.device("cuda"))
    norms = [module for module in model.modules() if isinstance(module, BATCHNORM)]
    assert len(norms) == 49 and all(type(norm) is SyncBatchNormAct for norm in norms)
    assert sum(isinstance(norm.act, nn.SiLU) for norm in norms) == 33
    assert all(norm.process_group is None for norm in norms)


class Scaled(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "norm", [Scaled(4), EvoNorm2dB0(4), nn.LazyBatchNorm2d(), nn.InstanceNorm2d(4, track_running_stats=True)]
)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_norm_whose_statistics_cannot_be_taken_over_ranks_is_refused(norm: nn.Module, device: str) -> None:
    with pytest.raises(UserError, match=rf"1 is a {type(norm).__name__}.*\nset recipe.batchnorm=local"):
        synchronise_batchnorm(nn.Sequential(nn.Conv2d(3, 4, 1), norm), torch.device(device))


BATCH = 3
"""Two images on the first rank, one on the second: alone its 1x1 maps have one value a channel."""


def without_chance(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, (nn.modules.dropout._DropoutNd, DropPath, TimmDropPath)):
            module.eval()
    return model


def trained_once(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """(logits, gradients, buffers) after a forward and a backward pass in training, in float64."""
    without_chance(model.double().train())
    logits = model(x.double())
    F.cross_entropy(logits, y, reduction="sum").backward()
    gradients = {key: parameter.grad for key, parameter in model.named_parameters() if parameter.grad is not None}
    return logits.detach(), gradients, dict(model.named_buffers())


def compared_with_one_process(rank: int, names: list[str]) -> dict[str, tuple[float, float, float]]:
    """For each network: how far logits, gradients and buffers of two ranks are from those of one process.

    The ranks take turns at being that one process.
    """
    distances = {}
    for name in names:
        model, side = build(name)
        if not has_batchnorm(model):
            continue
        x, y = images(side, BATCH), torch.arange(BATCH)
        converted = synchronise_batchnorm(copy.deepcopy(model), torch.device("cpu"))
        logits, gradients, buffers = trained_once(converted, x[rank::RANKS], y[rank::RANKS])
        for gradient in gradients.values():
            dist.all_reduce(gradient)
        if rank != len(distances) % RANKS:
            distances[name] = (0.0, 0.0, 0.0)
            continue
        expected = trained_once(model, x, y)
        assert gradients.keys() == expected[1].keys()
        size = sum(float(gradient.double().square().sum()) for gradient in expected[1].values()) ** 0.5
        error = sum(float((gradients[key] - expected[1][key]).double().square().sum()) for key in gradients) ** 0.5
        distances[name] = (
            far(logits, expected[0][rank::RANKS]),
            error / size,
            max(far(buffers[key].double(), value.double()) for key, value in expected[2].items()),
        )
    return distances


def kinds_of_network() -> list[str]:
    """Of the networks made of the same classes of modules the smallest stands for all: classes alone are converted."""
    smallest: dict[frozenset[type], tuple[int, str]] = {}
    for name in REGISTRY:
        model = on_meta(name, 5, 32)
        if has_batchnorm(model):
            size = sum(parameter.numel() for parameter in model.parameters())
            kind = frozenset(type(module) for module in model.modules())
            smallest[kind] = min(smallest.get(kind, (size, name)), (size, name))
    return [name for _, name in smallest.values()]


def averages_after_steps(rank: int, name: str) -> tuple[bool, float, bool]:
    """Whether an average moved while the network trained, and how it evaluates beside a network with its weights."""
    model = build(name)[0]
    synchronise_batchnorm(model, torch.device("cpu"))
    mode = TrainingMode(model, Freeze(), 1)
    average = WeightAverage(model.double(), Averaging(name="ema", decay=0.5))
    mode.enter(0)
    moved = False
    for step in range(2):
        before = {key: value.clone() for key, value in average.module.state_dict().items()}
        x = images(32, BATCH, step)[rank::RANKS]
        trained_once(model, x, torch.arange(BATCH)[rank::RANKS])
        average.module(x.double())
        moved |= any(not torch.equal(value, before[key]) for key, value in average.module.state_dict().items())
        average.update(model)
    other = build(name, seed=7)[0].eval()
    other.load_state_dict(average.module.state_dict(), strict=True)
    x = images(32, 2)
    with torch.no_grad():
        distance = far(average.module(x.double()), other.double()(x.double()))
    return moved, distance, all(not module.training for module in average.module.modules())


def scores_of_few_images(rank: int, names: list[str]) -> dict[tuple[str, int], tuple[int, list[int]]]:
    """(images scored, the indices predicted) of each network on few images in global batches of `RANKS + 1`."""
    found = {}
    for count in (1, RANKS + 2):
        few = (torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8), [0] * count)
        data = from_arrays(few, few)
        transform = evaluation_transform(Recipe(), data, 32, channels_last=False)
        loader = make_loader(data.test, batch_size=RANKS + 1, seed=0, shuffle=False, rank=rank, world=RANKS)
        for name in names:
            evaluation = evaluate_model(
                create_model(name, 1, 32), loader, transform, data, torch.float32, torch.device("cpu"),
                World(rank, RANKS), keep_predictions=True,
            )  # fmt: skip
            assert evaluation.predictions is not None
            found[name, count] = (evaluation.scores.n, evaluation.predictions.index.tolist())
    return found


RESHAPING = ["maxvit_nano_s1", "swin_tiny_p2", "vit_mini", "outgrid_nano"]
AVERAGED = "efficientnet_tiny_s1"


def everything(rank: int, names: list[str]) -> dict[str, Any]:
    """One start of the processes serves all that follows: it takes longer than the work."""
    return {
        "training": compared_with_one_process(rank, names),
        "average": averages_after_steps(rank, AVERAGED),
        "scores": scores_of_few_images(rank, RESHAPING),
    }


@pytest.fixture(scope="module")
def ranks() -> list[dict[str, Any]]:
    names = [*kinds_of_network(), *(name for name in TIMM if any("BatchNorm" in kind for kind in TIMM[name][1]))]
    return on_two_ranks(everything, names)


@pytest.mark.xdist_group("two ranks")
def test_two_processes_train_every_kind_of_network_as_one_does(ranks: list[dict[str, Any]]) -> None:
    """In float64: norms over three values make per cents of float32's rounding. A gradient may differ where ReLU's
    input is zero but for rounding; statistics of one rank alone would be another network's."""
    for rank in ranks:
        families = {model_info(name).family for name in rank["training"] if name in REGISTRY}
        assert families >= {"OutGridViT", "ReXNet", "ResNet", "EfficientNet", "MaxViT", "ConvNeXt roadmap"}
        wrong = {
            name: (logits, gradients, buffers)
            for name, (logits, gradients, buffers) in rank["training"].items()
            if max(logits, buffers, gradients / 1e4) > 1e-6
        }
        assert wrong == {}


@pytest.mark.xdist_group("two ranks")
def test_an_average_has_norms_of_its_own_and_only_evaluates(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        moved, distance, evaluates = rank["average"]
        assert not moved and distance < 1e-5 and evaluates


@pytest.mark.xdist_group("two ranks")
def test_a_rank_without_images_evaluates_nothing(ranks: list[dict[str, Any]]) -> None:
    """One image for two ranks, and a last batch of one: networks that reshape cannot take a batch of none."""
    expected = {(name, count): (count, list(range(count))) for count in (1, RANKS + 2) for name in RESHAPING}
    for rank in ranks:
        assert rank["scores"] == expected
