"""Training and evaluation as a library: names, or the caller's own module and data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from levelfield.data import ImageData, from_dataset, make_loader, open_data
from levelfield.errors import UserError
from levelfield.evaluation import Scores
from levelfield.progress import Progress
from levelfield.spec import Budget, DataSpec, Execution, ModelSpec, Recipe, RunSpec, load_recipe
from levelfield.training.device import choose_device
from levelfield.training.evaluating import evaluate_model
from levelfield.training.inputs import evaluation_transform
from levelfield.training.loaded import LoadedRun, load_run
from levelfield.training.resolve import Prepared, prepare, prepare_custom
from levelfield.training.run import RunResult, train_prepared

Pair = tuple[Any, Any]


def train(
    run: RunSpec | None = None,
    out: str | Path = "runs/run",
    *,
    model: str | nn.Module | Callable[..., nn.Module] | None = None,
    data: str | ImageData | Pair | None = None,
    recipe: str | Recipe = "cpu-fast",
    epochs: float | None = None,
    seed: int = 0,
    image_size: int | None = None,
    progress: Progress | None = None,
    **execution: Any,
) -> RunResult:
    """Train one run into the folder `out` and return its result, history and folder.

    Either `run` says it all, or its parts are given: `model` is a registered name, a module, or a factory of one
    (called with num_classes, under the run's seed); `data` is a data set's name, an `ImageData`, or a pair (train,
    test) of map-style Datasets or DataLoaders yielding (image, label). A module or data of one's own makes a run that
    is "not reproducible by name". `progress` None shows bars on stderr. `execution` takes the keys of `Execution`
    (device="cpu", workers=2, ...).

    Raises UserError for bad input, a non-finite loss and exhausted memory.
    """
    prepared = _prepare(run, model, data, recipe, epochs, seed, image_size, execution)
    with progress or Progress() as shown:
        return train_prepared(prepared, Path(out), progress=shown)


def evaluate(
    model: str | Path | LoadedRun | nn.Module,
    data: str | ImageData | None = None,
    *,
    image_size: int | None = None,
    batch_size: int = 500,
    device: str = "auto",
    data_dir: str | None = None,
) -> Scores:
    """Scores of a run (a folder or a LoadedRun) on its own test images, or of any module on those of `data`.

    A module is called on images normalised with the data's own statistics.
    """
    if isinstance(model, (str, Path)):
        model = load_run(model)
    if isinstance(model, LoadedRun):
        spec = model.spec
        recipe, network, wanted = spec.recipe, model.model, spec.data
        size = spec.model.image_size
    else:
        recipe, network, wanted, size = Recipe(), model, None, image_size
    if isinstance(data, ImageData):
        opened = data
    elif data is not None:
        opened = open_data(DataSpec(name=data, image_size=size), data_dir)
    elif wanted is not None:
        opened = open_data(wanted, data_dir)
    else:
        raise UserError("evaluate needs data for a module of your own: data='cifar10', or an ImageData")
    target = choose_device(device)
    transform = evaluation_transform(recipe, opened, size or opened.test.side_px, channels_last=False)
    loader = make_loader(opened.test, batch_size=batch_size, seed=0, shuffle=False, device=target)
    return evaluate_model(network.to(target), loader, transform, opened, torch.float32, target).scores


def _prepare(
    run: RunSpec | None,
    model: str | nn.Module | Callable[..., nn.Module] | None,
    data: str | ImageData | Pair | None,
    recipe: str | Recipe,
    epochs: float | None,
    seed: int,
    image_size: int | None,
    execution: dict[str, Any],
) -> Prepared:
    if run is not None:
        if model is not None or data is not None:
            raise UserError("give either run, or model and data: run says its own")
        return prepare(run)
    if model is None or data is None:
        raise UserError("train needs a model and data: train(model='resnet_mini', data='digits')")
    if isinstance(recipe, str):
        stated = load_recipe(recipe)
        chosen, budget = stated.recipe, stated.budget
    else:
        chosen, budget = recipe, None
    if epochs is not None:
        budget = Budget(epochs=epochs)
    if budget is None:
        raise UserError("the recipe states no length: give epochs=...")
    opened = _own_data(data, image_size)
    factory, digest, name = _own_model(model, opened)
    spec = RunSpec(
        model=ModelSpec(name=name),
        data=DataSpec(name=data if isinstance(data, str) else opened.name if opened else "own", image_size=image_size),
        recipe=chosen,
        budget=budget,
        seed=seed,
        execution=Execution.parse(execution, "execution"),
    )
    if factory is None and opened is None:
        return prepare(spec)
    return prepare_custom(spec, opened, factory, digest)


def _own_data(data: str | ImageData | Pair, image_size: int | None) -> ImageData | None:
    """The caller's data as ImageData; None for a name."""
    if isinstance(data, str):
        return None
    if isinstance(data, ImageData):
        return data
    if not (isinstance(data, tuple) and len(data) == 2):
        raise UserError(f"data must be a name, an ImageData or a pair (train, test), not {type(data).__name__}")
    train, test = (part.dataset if isinstance(part, DataLoader) else part for part in data)
    for part in (train, test):
        if not isinstance(part, Dataset) and not (hasattr(part, "__len__") and hasattr(part, "__getitem__")):
            raise UserError(f"data must be map-style Datasets or DataLoaders over them, not {type(part).__name__}")
    return from_dataset(train, test, image_size=image_size)


def _own_model(
    model: str | nn.Module | Callable[..., nn.Module], data: ImageData | None
) -> tuple[Callable[..., nn.Module] | None, str, str]:
    """(factory, digest of the architecture, name) of the caller's model; no factory for a name."""
    if isinstance(model, str):
        return None, "", model
    if isinstance(model, nn.Module):
        module = model
        return lambda **_: module, _architecture_digest(module), f"own:{type(module).__name__}"
    return model, _architecture_digest(model(num_classes=10)), f"own:{getattr(model, '__name__', type(model).__name__)}"


def _architecture_digest(module: nn.Module) -> str:
    """SHA-256 (16 hex digits) over the network's printed structure and the shapes of its parameters."""
    shapes = [(name, tuple(p.shape)) for name, p in module.named_parameters()]
    return hashlib.sha256(f"{module}\n{shapes}".encode()).hexdigest()[:16]
