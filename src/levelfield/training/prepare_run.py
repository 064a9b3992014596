"""From what a user asked for to a run that is defined: data opened, sizes, precision and digests filled in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from levelfield.data import ImageData, open_data
from levelfield.data.augment import check_crop
from levelfield.errors import UserError
from levelfield.known_models import check_name
from levelfield.models import weights_digest
from levelfield.precision import choose_precision
from levelfield.runs import RunFolder, at_commit, place
from levelfield.spec import RunSpec
from levelfield.training.build_model import build_model, build_own, load_plugins, own_builder, with_channels
from levelfield.training.device import check_execution, check_step_graph, choose_device
from levelfield.training.own_data import with_own_data
from levelfield.training.own_model import OwnModel, check_frozen
from levelfield.training.processes import announced_main, announced_size
from levelfield.training.teacher import Teacher, load_teacher, with_teacher


@dataclass(frozen=True)
class Prepared:
    """A resolved run with what it needs: its data, its device, and how to build its model (seeded) on the CPU."""

    spec: RunSpec
    data: ImageData
    device: torch.device
    build_model: Callable[[], nn.Module]
    reproducible: bool = True
    own_data: bool = False

    @property
    def identity(self) -> str:
        return self.spec.identity()

    def load_teacher(self) -> Teacher | None:
        """The teacher of a distilled run, on the CPU; None where it has none."""
        return load_teacher(self.spec, self.data)


def resolve(spec: RunSpec, device: torch.device | None = None) -> RunSpec:
    """`spec` with every open field filled in, so that it has an identity.

    `device`: what it will be trained on, where that is another machine's; None: what this machine offers.
    """
    return prepare(spec, device).spec


def prepare(
    spec: RunSpec, device: torch.device | None = None, *, data: ImageData | None = None, own: OwnModel | None = None
) -> Prepared:
    """Open the data of `spec` and fill in what is open. Raises UserError for anything that is not there or differs.

    `data` and `own`: the caller's own in place of a name; such a run is not reproducible by name. The recipe's
    validation slice is cut from own data as from named ones, unless they bring one. Raises UserError too for parameters
    that the caller froze and the recipe would train.
    """
    check_execution(spec.execution)
    spec = spec.changed({"plugins": load_plugins(spec.plugins)})
    if own is None:
        check_name(spec.model.name)
    device = device or choose_device(spec.execution.device)
    check_step_graph(spec.execution, device)
    if own is not None:
        spec = _without_unused(spec)
    spec, opened = (spec, _opened(spec)) if data is None else with_own_data(spec, data)
    if own is not None:
        network = build_own(spec.seed, own.build, len(opened.classes))
        check_frozen(network, spec.recipe.freeze.patterns)
        spec = spec.changed({"model.options": {**spec.model.options, "digest": own.digest(network)}})
    prepared = _told_apart(_complete(spec, opened, device, None if own is None else own.build))
    named = data is None and own is None
    return replace(prepared, reproducible=prepared.reproducible and named, own_data=data is not None)


def training_images(spec: RunSpec) -> int:
    """How many images a run of `spec` trains on in an epoch. Raises UserError for data that is not at hand."""
    return len(_opened(spec).train)


def _opened(spec: RunSpec) -> ImageData:
    validation = spec.recipe.validation if spec.data.validation is None else spec.data.validation
    size = spec.data.image_size or spec.model.image_size
    wanted = spec.data.changed({"validation": validation, "checksum": None, "image_size": size})
    data = open_data(wanted, spec.execution.data_dir, crop=spec.recipe.augment.crop)
    if spec.data.checksum not in (None, data.checksum):
        raise UserError(
            f"data {spec.data.name!r} is not what the run was made with: checksum {data.checksum[:16]}, "
            f"wanted {str(spec.data.checksum)[:16]}\npoint --data-dir at the same data, or remove data.checksum"
        )
    return data


def _told_apart(prepared: Prepared) -> Prepared:
    """A run of a model that the program itself registered, whose name does not say what it is, with a digest of it."""
    spec = prepared.spec
    if (builder := own_builder(spec)) is None:
        return prepared
    with torch.random.fork_rng(devices=[]):
        digest = OwnModel(spec.model.name, builder, builder).digest(
            build_model(spec.changed({"recipe.quantize_aware": None}))
        )
    if spec.model.options.get("digest", digest) != digest:
        raise UserError(
            f"model {spec.model.name!r} is not what the run was made with: its source or its first weights are others\n"
            "register it as it was, or leave model.options.digest out for another run"
        )
    options = {**spec.model.options, "digest": digest}
    return replace(prepared, spec=spec.changed({"model.options": options}), reproducible=False)


def _without_unused(spec: RunSpec) -> RunSpec:
    """`spec` without the dropout that a recipe asks for and a module of one's own cannot be given, which is said."""
    asked = spec.recipe.regularisation
    if (asked.dropout or asked.drop_path) and announced_main():
        print(
            f"{spec.model.name} keeps its own dropout and drop path: regularisation.dropout={asked.dropout} and "
            f"drop_path={asked.drop_path} of the recipe are not applied to a module of one's own",
            file=sys.stderr,
        )
    left = asked.changed({"dropout": None, "drop_path": None, "drop_path_mode": "sample"})
    return spec.changed({"recipe.regularisation": left})


def _check_pruning(spec: RunSpec, own: bool) -> None:
    """Raise UserError where a recipe prunes weights that nothing has trained; a network of one's own may be."""
    recipe, fresh = spec.recipe, spec.model.start_from is None
    if recipe.prune is not None and fresh and not own:
        raise UserError(
            "recipe.prune takes the smallest of trained weights away, and this run starts from fresh ones\n"
            "give model.start_from.source=RUN, or `after: ROW` in a study"
        )
    if recipe.prune_channels is not None and (fresh or own):
        raise UserError(
            "recipe.prune_channels takes channels out of a trained network that a name builds, and this run "
            + ("is given a module of your own" if own else "starts from fresh weights")
            + "\ngive model.start_from.source=RUN, or `after: ROW` in a study"
        )


def _complete(
    spec: RunSpec, data: ImageData, device: torch.device, factory: Callable[..., nn.Module] | None
) -> Prepared:
    classes = len(data.classes)
    if spec.model.num_classes not in (None, classes):
        raise UserError(
            f"model.num_classes is {spec.model.num_classes}, but {data.name} has {classes} classes\n"
            "leave model.num_classes out: it is taken from the data"
        )
    size = spec.model.image_size or spec.data.image_size or data.test.side_px
    if spec.data.image_size is not None and size != spec.data.image_size:
        raise UserError(
            f"model.image_size is {size} and data.image_size is {spec.data.image_size}: give one, or the same twice"
        )
    check_crop(spec.recipe.augment.crop, data.train.side_px)
    processes = announced_size()
    if spec.recipe.batchnorm == "local" and spec.execution.processes not in (None, processes):
        raise UserError(
            f"the run was made with {spec.execution.processes} processes, each with its own BatchNorm "
            f"(recipe.batchnorm local), and these are {processes}: other numbers\n"
            f"start {spec.execution.processes} processes, or leave execution.processes out for another run"
        )
    micro = spec.execution.micro_batch
    if micro is not None and spec.recipe.batch_size % micro:
        raise UserError(
            f"execution.micro_batch {micro} does not divide recipe.batch_size {spec.recipe.batch_size}\n"
            f"choose a divisor, e.g. {max(d for d in range(1, micro + 1) if spec.recipe.batch_size % d == 0)}"
        )
    if spec.recipe.mix.active and classes < 2:
        raise UserError(
            f"recipe.mix needs at least two classes to mix, {data.name} has {classes}: set mix.probability=0"
        )
    validation = spec.recipe.validation if spec.data.validation is None else spec.data.validation
    if spec.recipe.selection == "best_validation" and data.validation is None:
        raise UserError("recipe.selection best_validation needs data.validation > 0; set data.validation=0.1")
    if (start := spec.model.start_from) is not None and factory is None:
        source = at_commit(start.source)
        digest = weights_digest(source)
        if start.digest not in (None, digest):
            raise UserError(f"model.start_from: {start.source} holds other weights than the run was made with")
        folder = RunFolder(place(source).expanduser())
        channels = folder.spec().model.channels if folder.exists() else start.channels
        found = {"source": source, "digest": digest, "channels": channels}
        spec = spec.changed({f"model.start_from.{key}": value for key, value in found.items()})
    _check_pruning(spec, factory is not None)
    spec = with_teacher(spec, data).changed(
        {
            "model.num_classes": classes,
            "model.image_size": size,
            "data.image_size": size,
            "data.validation": validation,
            "data.checksum": data.checksum,
            "recipe.precision": choose_precision(spec.recipe.precision, device),
            "execution.processes": processes,
        }
    )
    spec = spec if factory is not None else with_channels(spec)
    return Prepared(spec, data, device, lambda: build_model(spec, factory))
