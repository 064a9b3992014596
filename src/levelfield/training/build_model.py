"""The network of a run with its initial weights: a function of the seed, of the user's code, of what it starts from."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from levelfield import randomness
from levelfield.errors import UserError
from levelfield.known_models import TIMM
from levelfield.models import accepts, create_model, load_plugin, model_info, program_builder
from levelfield.models.channels import fewer, narrow
from levelfield.models.registry import size_misfit
from levelfield.models.training_form import training_form
from levelfield.models.users_code import failed_on_images
from levelfield.module_mode import evaluation_mode
from levelfield.runs import RunFolder, place
from levelfield.spec import Plugin, RunSpec
from levelfield.training.channel_pruning import prune_channels
from levelfield.training.fake_quantisation import fake_quantise


def build_model(spec: RunSpec, factory: Callable[..., nn.Module] | None = None) -> nn.Module:
    """The model of a resolved run with its initial weights: a function of the seed (and of what it starts from)."""
    model, how = _built(spec, factory), spec.recipe.quantize_aware
    return model if how is None else fake_quantise(training_form(model), how)


def _built(spec: RunSpec, factory: Callable[..., nn.Module] | None) -> nn.Module:
    if factory is not None:
        assert spec.model.num_classes is not None
        return _checked_outputs(build_own(spec.seed, factory, spec.model.num_classes), spec)
    torch.manual_seed(_init_seed(spec.seed))
    regularisation = spec.recipe.regularisation
    mode = None if regularisation.drop_path_mode == "sample" else regularisation.drop_path_mode
    wanted = {"drop_path": regularisation.drop_path, "dropout": regularisation.dropout, "drop_path_mode": mode}
    # A network without branches or dropout has nothing to apply them to.
    applied = {key: value for key, value in wanted.items() if value is not None and accepts(spec.model.name, key)}
    options: dict[str, Any] = {**applied, **spec.model.options}
    registered_here = own_builder(spec) is not None
    if registered_here:
        options.pop("digest", None)
    if spec.model.start_from is not None:
        options["start_from"] = spec.model.start_from
    model = create_model(
        spec.model.name, num_classes=spec.model.num_classes, image_size=spec.model.image_size, **options
    )
    if line := _normalised_otherwise(spec):
        print(line, file=sys.stderr)
    if spec.model.start_from is None:
        narrow(model, spec.model.channels or {})
    elif spec.recipe.prune_channels is not None:
        assert spec.model.image_size is not None
        print(f"  {prune_channels(model, spec.recipe.prune_channels, spec.model.image_size)}", file=sys.stderr)
    return _checked_outputs(model, spec) if spec.plugins or registered_here else _checked_size(model, spec)


def with_channels(spec: RunSpec) -> RunSpec:
    """A run that is resolved but for it, with the channels of its network filled in: those of what it starts from, less
    what it prunes. Raises UserError where they are others than the run was made with."""
    start = spec.model.start_from
    if start is None:
        return spec
    found = start.channels
    if spec.recipe.prune_channels is not None:
        whole = {"model.start_from": None, "model.channels": None}
        with torch.random.fork_rng(devices=[]), redirect_stderr(StringIO()):
            found = fewer(build_model(spec), build_model(spec.changed(whole))) or None
    if spec.model.channels not in (None, found):
        raise UserError(
            "model.channels says other channels than are left of the weights that the run starts from\n"
            "leave model.channels out: it is taken from them"
        )
    return spec.changed({"model.channels": found})


def _checked_size(model: nn.Module, spec: RunSpec) -> nn.Module:
    """`model`, levelfield's own, which must take images of the run's size: tried where that is not the published one.
    timm's were fitted to it as they were built."""
    classes, size = spec.model.num_classes, spec.model.image_size
    assert classes is not None and size is not None
    if spec.model.name.startswith(TIMM) or (size == model_info(spec.model.name).image_size and not spec.model.options):
        return model
    try:
        with evaluation_mode(model), torch.no_grad():
            model(torch.zeros(1, 3, size, size))
    except Exception as error:
        if (told := size_misfit(error, spec.model.name, classes, size, spec.model.options)) is None:
            raise
        raise told from error
    return model


def _checked_outputs(model: nn.Module, spec: RunSpec) -> nn.Module:
    """`model`, a user's own, which must give one value a class: with more of them it would train all the same."""
    classes, size = spec.model.num_classes, spec.model.image_size
    assert size is not None
    try:
        with evaluation_mode(model), torch.no_grad():
            outputs = model(torch.zeros(2, 3, size, size))
    except UserError:
        raise
    except Exception as error:  # whatever a user's own code raises
        raise failed_on_images(error, spec.model.name, type(model).forward, size) from error
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2 or len(outputs) != 2:
        given = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise UserError(
            f"{spec.model.name} gives {given} for 2 images of {size} px\nlet it give a tensor (images, classes)"
        )
    if outputs.shape[1] != classes:
        raise UserError(
            f"{spec.model.name} has {outputs.shape[1]} outputs and the data {classes} classes\n"
            "give it as many outputs as classes: a factory is called with num_classes"
        )
    return model


def _init_seed(seed: int) -> int:
    return randomness.key(seed, "init") & 0x7FFFFFFFFFFFFFFF


def build_own(seed: int, factory: Callable[..., nn.Module], num_classes: int) -> nn.Module:
    """The caller's network under the run's seed, whichever generator it draws from; a copy, so that it stays as it is.

    Raises UserError where the factory returns something else.
    """
    number = _init_seed(seed)
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number & 0xFFFFFFFF)
    network = factory(num_classes=num_classes)
    if not isinstance(network, nn.Module):
        raise UserError(f"model must return a module when called with num_classes, not {type(network).__name__}")
    return copy.deepcopy(network)


def _normalised_otherwise(spec: RunSpec) -> str | None:
    """A line where the weights come from a run whose images were normalised in another way than here."""
    start = spec.model.start_from
    if start is None or not (folder := RunFolder(place(start.source).expanduser())).exists():
        return None
    then, now = folder.spec().recipe.augment.normalize, spec.recipe.augment.normalize
    if then == now:
        return None
    return (
        f"  its images were normalised as {then!r}, here as {now!r}: set recipe.augment.normalize={then} for the same"
    )


def own_builder(spec: RunSpec) -> Callable[..., nn.Module] | None:
    """What builds the model of `spec` where neither levelfield nor one of the run's plugins registered it."""
    return program_builder(spec.model.name, [Path(plugin.path).resolve() for plugin in spec.plugins])


def load_plugins(plugins: tuple[Plugin, ...]) -> tuple[Plugin, ...]:
    """Load users' files, and return them with the SHA-256 of their source."""
    loaded = []
    for plugin in plugins:
        path = Path(plugin.path).resolve()
        digest = load_plugin(path)
        if plugin.digest not in (None, digest):
            raise UserError(f"plugin {path} is not what the run was made with: its source has changed")
        loaded.append(Plugin(path=str(path), digest=digest))
    return tuple(loaded)
