"""Models by name: the registry, the one function that builds from it, and the way in for a user's own model."""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from numbers import Integral
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import nn

from levelfield.errors import UserError, unknown
from levelfield.known_models import ELSEWHERE, TIMM, ModelInfo, matching, plugin_file, registered
from levelfield.models.image_sizes import cannot_take
from levelfield.models.plugin_files import plugin_digest
from levelfield.models.users_code import failed_to_build, is_ours
from levelfield.spec import StartFrom

Builder = Callable[..., nn.Module]
BuilderT = TypeVar("BuilderT", bound=Builder)


_models: dict[str, tuple[ModelInfo, Builder]] = {}
_loaded_plugins: dict[Path, str] = {}
_plugin_being_loaded: list[Path] = []


def register_model(
    name: str,
    *,
    family: str = "own",
    num_classes: int = 10,
    image_size: int = 32,
    published: Mapping[str, Any] | None = None,
    options: Iterable[str] | None = None,
    switches: Mapping[str, Sequence[Any]] | None = None,
) -> Callable[[BuilderT], BuilderT]:
    """Register what it decorates, a class or function that returns an `nn.Module`, under `name`.

    The builder is called with `num_classes`, with `image_size` (px) if it has such a parameter, and with the user's
    options. `options` defaults to the builder's other parameters. `switches` names the options that stand for parts of
    the network, each with its positions, first that of the network as it is: `{"gates": [True, False], "kernel": [7,
    3]}`; `levelfield ablate` turns them. The module need only map (B, 3, H, W) to (B, classes). Raises UserError where
    the name is taken, or a switch is none of the options, has fewer than two positions or begins with another than the
    builder's own.

    Example::

        @levelfield.register_model("my_net")
        class MyNet(nn.Module):
            def __init__(self, num_classes: int = 10) -> None: ...
    """
    plugin = _plugin_being_loaded[-1] if _plugin_being_loaded else None

    def register(builder: BuilderT) -> BuilderT:
        known = _models.get(name)
        if known is not None and (plugin is None or known[0].plugin != plugin):
            raise UserError(
                f"model name {name!r} is taken (family {known[0].family}); register yours under another name"
            )
        if name.startswith(TIMM):
            raise UserError(
                f"model name {name!r} begins with {TIMM!r}, which is kept for timm's models; choose another"
            )
        keywords = frozenset(options) if options is not None else _keywords(builder)
        positions = MappingProxyType({switch: tuple(values) for switch, values in (switches or {}).items()})
        _check_switches(name, positions, keywords, _own(builder))
        facts = MappingProxyType(dict(published or {}))
        info = ModelInfo(name, family, num_classes, image_size, facts, keywords, plugin, positions)
        _models[name] = (info, builder)
        registered(info)
        return builder

    return register


def _check_switches(
    name: str, switches: Mapping[str, tuple[Any, ...]], options: frozenset[str] | None, own: Mapping[str, Any]
) -> None:
    for switch, positions in switches.items():
        if options is not None and switch not in options:
            raise unknown(f"switch of model {name!r}", switch, options, "a switch is one of the model's options")
        if len(positions) < 2 or any(one in positions[:at] for at, one in enumerate(positions)):
            raise UserError(f"model {name!r}: switch {switch!r} needs two or more positions, got {list(positions)}")
        if switch in own and _listed(own[switch]) != _listed(positions[0]):
            raise UserError(
                f"model {name!r}: switch {switch!r} is {own[switch]!r} by default, and its positions begin with "
                f"{positions[0]!r}\nput the model's own first"
            )


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _own(builder: Builder) -> dict[str, Any]:
    """What the builder's parameters are where nothing is said."""
    parameters = inspect.signature(builder).parameters
    return {name: one.default for name, one in parameters.items() if one.default is not inspect.Parameter.empty}


def _keywords(builder: Builder) -> frozenset[str] | None:
    """The builder's parameter names but for the two that every model has; None where it takes any (**kwargs)."""
    parameters = inspect.signature(builder).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters) - {"num_classes", "image_size"}


def create_model(
    name: str,
    num_classes: int | None = None,
    image_size: int | None = None,
    start_from: str | StartFrom | None = None,
    **options: Any,
) -> nn.Module:
    """Build a model by name, in training mode, on the current default device.

    Args:
        name: a registered name (`list_models()`), or `timm:<name>` for any of timm's, fitted to `image_size`.
        num_classes, image_size: classes and side in px; omitted ones are the model's published setting.
        start_from: weights to begin with: `timm:<name>[.tag]`, `hub:<owner>/<name>[@revision]`, a run folder, a
            .safetensors or .pth file; the account of what was loaded, re-shaped and left out is printed to stderr.
        options: what the architecture has (`model_info(name).options`): `drop_path`, `drop_path_mode`, `dropout`, ...

    Raises UserError for an unknown name or option, or a size that the architecture cannot have; UsersCodeError, a kind
    of it, for whatever a user's own builder raises.
    """
    info = model_info(name)
    classes = info.num_classes if num_classes is None else num_classes
    side_px = info.image_size if image_size is None else image_size
    given: dict[str, Any] = {"num_classes": classes, "image_size": side_px}
    for what, value in given.items():
        if not isinstance(value, Integral) or value < 1:
            raise UserError(f"model {name!r}: {what} must be a whole number of at least 1, got {value!r}")
    if name.startswith(TIMM):
        from levelfield.models.adapt_timm.timm_models import fit_timm

        model, _ = fit_timm(name.removeprefix(TIMM), classes, side_px, **options)
    else:
        model = _build(name, classes, side_px, options)
    if start_from is not None:
        from levelfield.models.channels import narrow
        from levelfield.models.weights import start_model_from

        start = StartFrom(source=start_from) if isinstance(start_from, str) else start_from
        narrow(model, start.channels or {})
        account = start_model_from(model, start.source)
        for line in account.lines():
            print(line, file=sys.stderr)
    return model


def _build(name: str, num_classes: int, image_size: int, options: Mapping[str, Any]) -> nn.Module:
    check_options(name, options)
    builder, given = _models[name][1], _given(name, num_classes, image_size, options)
    try:
        model = builder(**given)
    except Exception as error:
        told: UserError | None = failed_to_build(error, name, builder, given)
        told = told or size_misfit(error, name, num_classes, image_size, options)
        if told is None:
            raise
        raise told from error
    if not isinstance(model, nn.Module):
        raise UserError(f"model {name!r} must be a torch.nn.Module, but its builder returned {type(model).__name__}")
    return model


def _given(name: str, num_classes: int, image_size: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a builder is called with."""
    info, builder = _models[name]
    takes_size = info.options is None or "image_size" in inspect.signature(builder).parameters
    return {"num_classes": num_classes, **({"image_size": image_size} if takes_size else {}), **options}


def size_misfit(
    error: Exception, name: str, num_classes: int, image_size: int, options: Mapping[str, Any]
) -> UserError | None:
    """`error`, which a network of levelfield's own raised, as one of the images' size; None of any other."""
    if name not in _models or not is_ours(_models[name][1]):
        return None
    builder = _models[name][1]
    return cannot_take(error, name, lambda side: builder(**_given(name, num_classes, side, options)), image_size)


def check_options(name: str, options: Iterable[str]) -> None:
    """Raise UserError, with the nearest name, for an option that `name` has not; of timm's networks timm says it."""
    known = model_info(name).options
    for option in options:
        if known is not None and option not in known:
            remedy = f"{name} has " + (", ".join(sorted(known)) if known else "no options")
            raise unknown(f"option of model {name!r}", option, known, remedy)


def model_info(name: str) -> ModelInfo:
    """What is known of `name`. Raises UserError with the nearest names where there is none."""
    if name.startswith(TIMM):
        from levelfield.models.adapt_timm.timm_models import timm_setting

        num_classes, image_size, family = timm_setting(name.removeprefix(TIMM))
        return ModelInfo(name, family, num_classes, image_size, {}, None)
    if name not in _models:
        raise unknown("model", name, _models, ELSEWHERE)
    return _models[name][0]


def program_builder(name: str, plugins: Iterable[Path] = ()) -> Builder | None:
    """What builds `name` where the running program registered it: no model of levelfield or timm, none of `plugins`."""
    if name not in _models:
        return None
    info, builder = _models[name]
    return None if is_ours(builder) or info.plugin in set(plugins) else builder


def accepts(name: str, option: str) -> bool:
    """Whether `create_model(name, <option>=...)` is possible: false for `drop_path` on a network without branches."""
    if name.startswith(TIMM):
        from levelfield.models.adapt_timm.timm_models import timm_accepts

        return timm_accepts(name.removeprefix(TIMM), option)
    options = model_info(name).options
    return options is None or option in options


def own_options(name: str) -> dict[str, Any]:
    """What the options of `name` are where nothing is said, as far as its registration tells; nothing of timm's."""
    if name.startswith(TIMM):
        return {}
    info, builder = _models[model_info(name).name]
    return _own(builder) | {switch: positions[0] for switch, positions in info.switches.items()}


def list_models(pattern: str = "*") -> list[str]:
    """The registered names that match `pattern` (fnmatch; `timm:` patterns match timm's), sorted."""
    if pattern.startswith(TIMM):
        return matching(pattern)
    return sorted(name for name in _models if fnmatch.fnmatchcase(name, pattern))


def load_plugin(path: str | Path) -> str:
    """Import the user's file, once, so that the models it decorates are registered; returns its `plugin_digest`.

    Raises UserError for a missing file, for an exception inside it (its type, message and line), and where a file
    beside it that it imports has changed since this process imported it.
    """
    file = plugin_file(path)
    if file in _loaded_plugins and _loaded_plugins[file] == plugin_digest(file):
        return _loaded_plugins[file]
    module_name = f"levelfield_plugin_{hashlib.sha256(str(file).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None and spec.loader is not None  # its name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    _plugin_being_loaded.append(file)
    try:
        with redirect_stdout(sys.stderr):  # stdout is for answers, whatever it prints
            spec.loader.exec_module(module)
    except UserError as error:
        raise UserError(f"plugin {str(path)!r}: {error}") from error
    except Exception as error:
        raise UserError(
            f"plugin {str(path)!r} failed{_line_of(error, file)}: {type(error).__name__}: {error}"
        ) from error
    finally:
        _plugin_being_loaded.pop()
    _loaded_plugins[file] = plugin_digest(file)
    return _loaded_plugins[file]


def _line_of(error: BaseException, file: Path) -> str:
    """' at line N' for the innermost frame of `error` inside `file`, or for its syntax error."""
    if isinstance(error, SyntaxError):
        return f" at line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f" at line {lines[-1]}" if lines else ""


def on_meta(name: str, num_classes: int | None = None, image_size: int | None = None, **options: Any) -> nn.Module:
    """The model built on the meta device: shapes without memory, for counting."""
    with torch.device("meta"):
        return create_model(name, num_classes, image_size, **options)
