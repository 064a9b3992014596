"""`lf.train` and `lf.evaluate`: training and evaluation by names, or of the caller's own module and data."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from levelfield.data import ImageData, make_loader, open_data
from levelfield.errors import UserError
from levelfield.evaluation import Scores
from levelfield.float32 import set_tf32
from levelfield.progress import Progress
from levelfield.runs import RunFolder
from levelfield.spec import Budget, DataSpec, Execution, Recipe, RunSpec, load_recipe
from levelfield.training.batch_inputs import evaluation_transform
from levelfield.training.check_arguments import check_arguments
from levelfield.training.device import choose_device, current_device
from levelfield.training.evaluate_finished_run import run_test
from levelfield.training.evaluate_model import evaluate_model
from levelfield.training.load_finished_run import LoadedRun, load_run
from levelfield.training.own_data import Pair, take_over
from levelfield.training.own_model import OwnModel
from levelfield.training.prepare_run import Prepared, prepare
from levelfield.training.restore_global_settings import host_unchanged
from levelfield.training.run import RunResult, train_prepared


def train(
    run: RunSpec | None = None,
    out: str | Path | None = None,
    *,
    model: str | nn.Module | Callable[..., nn.Module] | None = None,
    data: str | ImageData | Pair | None = None,
    recipe: str | Recipe | None = None,
    epochs: float | None = None,
    seed: int | None = None,
    image_size: int | None = None,
    progress: Progress | None = None,
    **execution: Any,
) -> RunResult:
    """Train one run into the folder `out` and return its result, history and folder.

    Either `run` says it all, and `epochs`, `seed` and keys of `Execution` given beside it replace its own; or its parts
    are given: `model` is a registered name, a module (copied: the one given is left as it is), or a factory of one
    (called with num_classes, under the run's seed); `data` is a data set's name, an `ImageData`, or a pair (train,
    test) of map-style Datasets or DataLoaders yielding (image, label); `recipe` None is "cpu-fast", `seed` None is 0. A
    module or data of one's own makes a run that is "not reproducible by name"; its identity covers the module's source
    and weights, and the data's content. `execution` takes the keys of `Execution` (device="cpu", workers=2, ...).

    `out` None: runs/MODEL-DATA-seedN-IDENTITY, so that no two runs share a folder. A finished run is not trained again:
    a line says so. `progress` None shows bars on stderr. Torch's switches and all generators are afterwards as they
    were before. Raises UserError for bad input, a non-finite loss and exhausted memory.
    """
    names = ("model", "data", "recipe", "epochs", "seed", "image_size", "out", "progress")
    check_arguments(run, recipe, execution, names)
    with host_unchanged():
        if run is not None:
            given = {"model": model, "data": data, "recipe": recipe, "image_size": image_size}
            prepared = prepare(_changed(run, given, epochs, seed, execution))
        else:
            prepared = _prepare(model, data, recipe, epochs, seed or 0, image_size, execution)
        folder = Path(out) if out is not None else _default_folder(prepared)
        with progress or Progress() as shown:
            if RunFolder(folder).finished:
                shown.note(f"{folder} holds this run, finished: its result is taken from there")
            return train_prepared(prepared, folder, progress=shown)


def evaluate(
    model: str | Path | LoadedRun | nn.Module,
    data: str | ImageData | None = None,
    *,
    image_size: int | None = None,
    batch_size: int = 500,
    device: str = "auto",
    data_dir: str | None = None,
) -> Scores:
    """Scores of a run (a folder or a LoadedRun) on its own test images or those of `data`, or of a module on `data`.

    A run is tested as it was at its end: in its precision, with its preprocessing, and on its own data only if they are
    still what it was trained on. A module is called in float32 on images normalised with the data's own statistics.
    What is given is left as it is. Raises UserError for data that do not fit.
    """
    with host_unchanged():
        target = choose_device(device)
        if isinstance(model, (str, Path)):
            model = load_run(model)
        if isinstance(data, ImageData) and data_dir is not None:
            raise UserError("data_dir says where named data are, but data are given: leave one of them out")
        if isinstance(model, LoadedRun):
            if image_size not in (None, model.spec.model.image_size):
                raise UserError(
                    f"image_size is {image_size}, but the run's network takes {model.spec.model.image_size} px\n"
                    "leave image_size out: it is taken from the run"
                )
            with current_device(target):
                tested = run_test(model, data=data, batch_size=batch_size, target=target, data_dir=data_dir)
                return tested.evaluation.scores
        if data is None:
            raise UserError("evaluate needs data for a module of your own: data='cifar10', or an ImageData")
        opened = data
        if isinstance(opened, str):
            opened = open_data(DataSpec(name=opened, image_size=image_size), data_dir)
        if image_size not in (None, opened.test.side_px):
            raise UserError(
                f"image_size is {image_size}, but the images of the data given are {opened.test.side_px} px\n"
                "leave image_size out, or give data of that size"
            )
        transform = evaluation_transform(Recipe(), opened, opened.test.side_px, channels_last=False)
        loader = make_loader(opened.test, batch_size=batch_size, seed=0, shuffle=False, device=target)
        set_tf32(False)
        with current_device(target):
            network = copy.deepcopy(model).to(target)
            return evaluate_model(network, loader, transform, opened, torch.float32, target).scores


def _changed(
    run: RunSpec, given: dict[str, Any], epochs: float | None, seed: int | None, execution: dict[str, Any]
) -> RunSpec:
    """`run` with what may be given beside it; the rest is refused."""
    if refused := [name for name, value in given.items() if value is not None]:
        raise UserError(
            f"{', '.join(refused)} given beside run, which says its own\n"
            "change the run itself, or give model, data and recipe instead of it"
        )
    values = run.model_dump(mode="json")
    if epochs is not None:
        values["budget"] = {"epochs": epochs}
    if seed is not None:
        values["seed"] = seed
    values["execution"] |= execution
    return RunSpec.parse(values, "run")


def _default_folder(prepared: Prepared) -> Path:
    spec = prepared.spec
    name = f"{spec.model.name}-{spec.data.name}-seed{spec.seed}-{prepared.identity[:8]}"
    return Path("runs") / re.sub(r"[^\w.+-]+", "-", name)


def _prepare(
    model: str | nn.Module | Callable[..., nn.Module] | None,
    data: str | ImageData | Pair | None,
    recipe: str | Recipe | None,
    epochs: float | None,
    seed: int,
    image_size: int | None,
    execution: dict[str, Any],
) -> Prepared:
    if model is None or data is None:
        raise UserError("train needs a model and data: train(model='resnet_mini', data='digits')")
    if isinstance(recipe, Recipe):
        chosen, budget = recipe, None
    else:
        stated = load_recipe(recipe or "cpu-fast")
        chosen, budget = stated.recipe, stated.budget
    if epochs is not None:
        budget = Budget.parse({"epochs": epochs}, "train")
    if budget is None:
        raise UserError("the recipe states no length: give epochs=...")
    if not isinstance(model, str) and not callable(model):
        raise UserError(f"model must be a name, a module or a function that builds one, not {type(model).__name__}")
    opened = take_over(data, image_size)
    own = None if isinstance(model, str) else OwnModel.of(model)
    values = {
        "model": {"name": own.name if own is not None else model},
        "data": {"name": data if opened is None else opened.name, "image_size": image_size},
        "recipe": chosen,
        "budget": budget,
        "seed": seed,
        "execution": Execution.parse(execution, "execution"),
    }
    spec = RunSpec.parse(values, "train")
    return prepare(spec, data=opened, own=own)
