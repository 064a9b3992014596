"""From what a user asked for to a run that is defined: data opened, sizes, precision and digests filled in."""

from __future__ import annotations

import copy
import hashlib
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from levelfield import randomness
from levelfield.data import ImageData, Split, hold_out, open_data
from levelfield.data.augment import check_crop
from levelfield.errors import UserError
from levelfield.models import accepts, create_model, load_plugin, program_builder
from levelfield.runs import RunFolder
from levelfield.spec import Plugin, RunSpec
from levelfield.training.device import check_execution, choose_device, choose_precision
from levelfield.training.mode import evaluation_mode
from levelfield.training.own_model import OwnModel, check_frozen
from levelfield.training.processes import announced_main, announced_size


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


def resolve(spec: RunSpec, device: torch.device | None = None) -> RunSpec:
    """`spec` with every open field filled in, so that it has an identity.

    `device`: what it will be trained on, where that is another machine's; None: what this machine offers.
    """
    return prepare(spec, device).spec


def prepare(spec: RunSpec, device: torch.device | None = None) -> Prepared:
    """Open the data of `spec` and fill in what is open. Raises UserError for anything that is not there or differs."""
    check_execution(spec.execution)
    spec = spec.model_copy(update={"plugins": load_plugins(spec.plugins)})
    device = device or choose_device(spec.execution.device)
    validation = spec.recipe.validation if spec.data.validation is None else spec.data.validation
    size = spec.data.image_size or spec.model.image_size
    wanted = spec.data.model_copy(update={"validation": validation, "checksum": None, "image_size": size})
    data = open_data(wanted, spec.execution.data_dir, crop=spec.recipe.augment.crop)
    if spec.data.checksum is not None and spec.data.checksum != data.checksum:
        raise UserError(
            f"data {spec.data.name!r} is not what the run was made with: checksum {data.checksum[:16]}, "
            f"wanted {spec.data.checksum[:16]}\npoint --data-dir at the same data, or remove data.checksum"
        )
    return _told_apart(_complete(spec, data, device, None))


def _told_apart(prepared: Prepared) -> Prepared:
    """A run of a model that the program itself registered, whose name does not say what it is, with a digest of it."""
    spec = prepared.spec
    if (builder := own_builder(spec)) is None:
        return prepared
    with torch.random.fork_rng(devices=[]):
        digest = OwnModel(spec.model.name, builder, builder).digest(prepared.build_model())
    if spec.model.options.get("digest", digest) != digest:
        raise UserError(
            f"model {spec.model.name!r} is not what the run was made with: its source or its first weights are others\n"
            "register it as it was, or leave model.options.digest out for another run"
        )
    model = spec.model.model_copy(update={"options": {**spec.model.options, "digest": digest}})
    return replace(prepared, spec=spec.model_copy(update={"model": model}), reproducible=False)


def own_builder(spec: RunSpec) -> Callable[..., nn.Module] | None:
    """What builds the model of `spec` where neither levelfield nor one of the run's plugins registered it."""
    return program_builder(spec.model.name, [Path(plugin.path).resolve() for plugin in spec.plugins])


def prepare_custom(spec: RunSpec, data: ImageData | None, own: OwnModel | None) -> Prepared:
    """As `prepare`, with the caller's own data or model in place of a name. Not reproducible by name.

    The recipe's validation slice is cut from own data as from named ones, unless they bring one. Raises UserError too
    for parameters that the caller froze and the recipe would train.
    """
    check_execution(spec.execution)
    device = choose_device(spec.execution.device)
    if own is not None:
        spec = _without_unused(spec)
    own_data = data is not None
    if data is None:
        prepared = prepare(spec.model_copy(update={"model": spec.model.model_copy(update={"name": "resnet_nano"})}))
        spec, data = prepared.spec.model_copy(update={"model": spec.model}), prepared.data
    else:
        spec, data = _with_own_data(spec, data)
    if own is not None:
        network = _build_own(spec.seed, own.build, len(data.classes))
        check_frozen(network, spec.recipe.freeze.patterns)
        options = {**spec.model.options, "digest": own.digest(network)}
        spec = spec.model_copy(update={"model": spec.model.model_copy(update={"options": options})})
    prepared = _complete(spec, data, device, None if own is None else own.build)
    prepared = _told_apart(prepared) if own is None else prepared
    return replace(prepared, reproducible=False, own_data=own_data)


def _without_unused(spec: RunSpec) -> RunSpec:
    """`spec` without the dropout that a recipe asks for and a module of one's own cannot be given, which is said."""
    asked = spec.recipe.regularisation
    if (asked.dropout or asked.drop_path) and announced_main():
        print(
            f"{spec.model.name} keeps its own dropout and drop path: regularisation.dropout={asked.dropout} and "
            f"drop_path={asked.drop_path} of the recipe are not applied to a module of one's own",
            file=sys.stderr,
        )
    left = asked.model_copy(update={"dropout": None, "drop_path": None, "drop_path_mode": "sample"})
    return spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"regularisation": left})})


def _with_own_data(spec: RunSpec, data: ImageData) -> tuple[RunSpec, ImageData]:
    """The caller's data with the validation slice that the recipe asks for, and the run that says what they are."""
    if spec.data.image_size not in (None, data.test.side_px):
        raise UserError(
            f"image_size is {spec.data.image_size}, but the images of the data given are {data.test.side_px} px\n"
            "leave image_size out, or give data of that size"
        )
    wanted = spec.recipe.validation if spec.data.validation is None else spec.data.validation
    share = 0.0 if data.validation is not None else wanted
    told = hashlib.sha256(f"{data.checksum} {data.mean} {data.std}".encode())
    for split in (data.train, data.validation, data.test):
        if split is not None:  # what was opened with a limit or a slice has the checksum of the whole
            told.update(f"{split.name} {split.side_px} {len(split)}".encode())
            told.update(split.index.numpy().tobytes() + split.labels.numpy().tobytes())
            for part in _seen(split):  # how they were fitted is not in the checksum, and they may have been changed
                told.update(part)
    crop = spec.recipe.augment.crop
    if (
        crop is not None
        and crop.name == "random_resized_crop"
        and isinstance(data.train.batch(torch.arange(1)), Tensor)
    ):
        note = (
            f"random resized crops are taken from images as they were given, squares of {data.train.side_px} px: where "
            "these were made so beforehand, from squeezed thumbnails (open_data(..., crop=...) keeps whole images)"
        )
        if announced_main():
            print(note, file=sys.stderr)
        data = replace(data, notes=(*data.notes, note))
    if share:
        train, validation = hold_out(data.train, share, spec.data.split_seed, data.test.crop_px)
        data = replace(data, train=train, validation=validation)
    described = spec.data.model_copy(update={"validation": share, "checksum": None})
    return spec.model_copy(update={"data": described}), replace(data, checksum=told.hexdigest())


def _seen(split: Split) -> Iterator[bytes]:
    """What says which pixels a network is given of `split`: themselves, or of encoded images how they are fitted."""
    fit = getattr(split.pixels, "fit", None)
    yield f"{split.crop_px} {fit}".encode()
    if fit is not None:  # their content has a checksum, and is decoded anew at every reading
        return
    for positions in torch.split(torch.arange(len(split)), 1024):
        images = split.batch(positions)
        if isinstance(images, Tensor):
            yield images.contiguous().numpy().tobytes()
            continue
        for start, height, width in zip(images.start, images.height, images.width, strict=True):
            yield f"{int(height)} {int(width)}".encode()
            yield images.flat[start : start + 3 * height * width].numpy().tobytes()


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
    model = spec.model.model_copy(update={"num_classes": classes, "image_size": size})
    if model.start_from is not None and factory is None:
        from levelfield.models import weights_digest

        digest = weights_digest(model.start_from.source)
        if model.start_from.digest not in (None, digest):
            raise UserError(
                f"model.start_from: {model.start_from.source} holds other weights than the run was made with"
            )
        model = model.model_copy(update={"start_from": model.start_from.model_copy(update={"digest": digest})})
    spec = spec.model_copy(
        update={
            "model": model,
            "data": spec.data.model_copy(
                update={"image_size": size, "validation": validation, "checksum": data.checksum}
            ),
            "recipe": spec.recipe.model_copy(update={"precision": choose_precision(spec.recipe.precision, device)}),
            "execution": spec.execution.model_copy(update={"processes": processes}),
        }
    )
    return Prepared(spec, data, device, lambda: build_model(spec, factory))


def build_model(spec: RunSpec, factory: Callable[..., nn.Module] | None = None) -> nn.Module:
    """The model of a resolved run with its initial weights: a function of the seed (and of what it starts from)."""
    if factory is not None:
        assert spec.model.num_classes is not None
        return _checked_outputs(_build_own(spec.seed, factory, spec.model.num_classes), spec)
    torch.manual_seed(_init_seed(spec.seed))
    regularisation = spec.recipe.regularisation
    wanted = {"drop_path": regularisation.drop_path, "dropout": regularisation.dropout}
    if regularisation.drop_path_mode != "sample":
        wanted["drop_path_mode"] = regularisation.drop_path_mode  # type: ignore[assignment]
    # A network without branches or dropout has nothing to apply them to.
    applied = {key: value for key, value in wanted.items() if value is not None and accepts(spec.model.name, key)}
    options: dict[str, Any] = {**applied, **spec.model.options}
    registered_here = own_builder(spec) is not None
    if registered_here:
        options.pop("digest", None)
    if spec.model.start_from is not None:
        options["start_from"] = spec.model.start_from.source
    model = create_model(
        spec.model.name, num_classes=spec.model.num_classes, image_size=spec.model.image_size, **options
    )
    if line := _normalised_otherwise(spec):
        print(line, file=sys.stderr)
    return _checked_outputs(model, spec) if spec.plugins or registered_here else model


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
        why = " ".join([type(error).__name__ + ":", *str(error).splitlines()[:1]])
        raise UserError(
            f"{spec.model.name} cannot take images of 3 channels and {size} px ({why})\n"
            "let it fit the data, or give the data another image_size"
        ) from error
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


def _build_own(seed: int, factory: Callable[..., nn.Module], num_classes: int) -> nn.Module:
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
    if start is None or not (folder := RunFolder(Path(start.source).expanduser())).exists():
        return None
    then, now = folder.spec().recipe.augment.normalize, spec.recipe.augment.normalize
    if then == now:
        return None
    return (
        f"  its images were normalised as {then!r}, here as {now!r}: set recipe.augment.normalize={then} for the same"
    )


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
