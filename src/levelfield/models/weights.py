"""Weights to start from: timm's or a repository's on the Hugging Face Hub, a levelfield run, or a local file.

Nothing is skipped silently. A tensor is loaded as it is where name and shape agree. Where only the shape differs it is
re-shaped if that has a meaning: a convolution's kernel is cropped or resampled, a position table is interpolated over
its grid. Otherwise it is left out, and so is the classifier of other classes. The account says all of it. No file is
ever executed: safetensors, or `torch.load(weights_only=True)`.
"""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass

import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from levelfield.errors import UserError
from levelfield.models.network_parts import classifier_name
from levelfield.runs import RunFolder, place

TIMM = "timm:"


@dataclass(frozen=True)
class Account:
    """What became of the weights: names of the model's entries, and what the source had besides.

    `loaded` as they are; `reshaped` with a note (old shape to new, and how); `fresh` kept their own initialisation,
    with the reason; `unused` are entries of the source that the model does not have.
    """

    source: str
    loaded: tuple[str, ...]
    reshaped: dict[str, str]
    fresh: dict[str, str]
    unused: tuple[str, ...]

    def lines(self) -> list[str]:
        """The account in a few lines for a person."""
        total = len(self.loaded) + len(self.reshaped) + len(self.fresh)
        lines = [f"weights from {self.source}: {len(self.loaded)} of {total} tensors loaded as they are"]
        lines += [f"  re-shaped {name}: {how}" for name, how in self.reshaped.items()]
        lines += [f"  left at its fresh start {name}: {why}" for name, why in self.fresh.items()]
        if self.unused:
            shown = ", ".join(self.unused[:6]) + (f" and {len(self.unused) - 6} more" if len(self.unused) > 6 else "")
            lines.append(f"  not used from the source: {shown}")
        return lines


def start_model_from(model: nn.Module, source: str) -> Account:
    """Load `source` (`timm:<name>[.tag]`, `hub:<owner>/<name>[@revision]`, a run folder, a .safetensors or .pth file)
    into `model`, in place.

    Raises UserError where the source cannot be read, or where less than half of the model's weights, classifier aside,
    find a counterpart: that is another architecture; and where a file is of this network with fewer channels.
    """
    weights = read_weights(source)
    if not source.startswith(TIMM) and place(source).expanduser().is_file():
        _check_channels(model, weights, source)
    return transfer(model, weights, source)


def _check_channels(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Raise UserError where a file has every tensor of `model`, some with fewer channels: of which, it does not say."""
    state, head = model.state_dict(), classifier_name(model)
    if not state.keys() <= weights.keys():
        return
    body = (name for name in state if name.endswith(".weight") and (head is None or not name.startswith(head + ".")))
    shapes = {name: (tuple(weights[name].shape), tuple(state[name].shape)) for name in body}
    other = {name: pair for name, pair in shapes.items() if pair[0] != pair[1] and len(pair[1]) > 1}
    if not other or not all(
        len(given) == len(own) and given[2:] == own[2:] and given[0] <= own[0] and given[1] <= own[1]
        for given, own in other.values()
    ):
        return
    name, (given, own) = next(iter(other.items()))
    raise UserError(
        f"start_from {source!r} has fewer channels than the network in {len(other)} layers ({name}: {given}, here "
        f"{own}): of a run of which channels were pruned\ngive its folder, or model.channels of its run.json as "
        "model.start_from.channels"
    )


def read_weights(source: str) -> dict[str, Tensor]:
    """The tensors of `source` by name, on the CPU. See `start_model_from`."""
    if source.startswith(TIMM):
        return _from_timm(source.removeprefix(TIMM))
    path = place(source).expanduser()
    if path.is_dir():
        folder = RunFolder(path)
        folder.check_weights_not_replaced()
        path = folder.weights
    if not path.is_file():
        raise UserError(
            f"start_from {source!r}: no such file ({path})\n"
            "give timm:<name>, hub:<owner>/<name>, a finished run's folder, or a .safetensors or .pth file"
        )
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's message advises to switch the safety off
        raise UserError(
            f"start_from {source!r} is refused: it holds more than tensors or is damaged, and no code is ever run\n"
            "save the tensors alone, e.g. safetensors.torch.save_file(model.state_dict(), path)"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise UserError(
            f"start_from {source!r} cannot be read as weights: {str(error).splitlines()[0]}\n"
            "save the tensors alone, e.g. safetensors.torch.save_file(model.state_dict(), path)"
        ) from error
    return _tensors_in(loaded, source)


def weights_digest(source: str) -> str:
    """SHA-256 over the names, dtypes, shapes and bytes of `source`'s tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(read_weights(source).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _tensors_in(loaded: object, source: str) -> dict[str, Tensor]:
    """The state dict in what `torch.load` returned, bare or under a usual key, without the prefixes of wrappers."""
    for key in ("state_dict_ema", "model_ema", "state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    tensors = (
        {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
        if isinstance(loaded, Mapping)
        else {}
    )
    if not tensors:
        raise UserError(f"start_from {source!r} holds no named tensors; save a model's state_dict()")
    for prefix in ("_orig_mod.", "module."):
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _from_timm(name: str) -> dict[str, Tensor]:
    """timm's pretrained weights, from the Hub's cache or the network, in the names of timm's current code."""
    from levelfield.models.adapt_timm.timm_models import timm, timm_setting

    timm_setting(name)
    config = timm.get_pretrained_cfg(name)
    if config is None or not (config.hf_hub_id or config.url or config.file or config.state_dict):
        raise UserError(
            f"start_from 'timm:{name}': timm publishes no weights for it; give a tag, as in resnet50.tv_in1k"
        )
    try:
        model: nn.Module = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError) as error:  # the Hub's errors (offline, not cached, no route) are OSErrors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"start_from 'timm:{name}': the weights are neither in the Hugging Face cache nor within reach: {reason}\n"
            "connect to a network once (HF_HUB_OFFLINE unset), or give a local .safetensors file"
        ) from error
    return dict(model.state_dict())


def transfer(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> Account:
    """Put `weights` into `model` in place, re-shaping where that has a meaning. See `Account`; raises UserError."""
    state = model.state_dict()
    head = classifier_name(model)
    fitting: dict[str, Tensor] = {}
    reshaped: dict[str, str] = {}
    fresh: dict[str, str] = {}
    for name, own in state.items():
        given = weights.get(name)
        is_head = head is not None and name.startswith(head + ".")
        if given is None:
            fresh[name] = "the source has no such entry"
        elif given.shape == own.shape:
            fitting[name] = given
        elif is_head:
            fresh[name] = f"another number of classes ({given.shape[0]}, here {own.shape[0]})"
        else:
            fitted, how = _fit(name, given, own.shape)
            shapes = f"{tuple(given.shape)} to {tuple(own.shape)}"
            if fitted is None:
                fresh[name] = f"shapes differ: {shapes}"
            else:
                fitting[name] = fitted
                reshaped[name] = f"{shapes}, {how}"
    body = [name for name in state if head is None or not name.startswith(head + ".")]
    missing = [name for name in body if name not in fitting]
    if len(missing) * 2 > len(body):
        raise UserError(
            f"start_from {source!r} is of another architecture: only {len(body) - len(missing)} of {len(body)} tensors "
            f"fit (missing: {', '.join(missing[:3])}, ...)\ngive weights of the same network"
        )
    model.load_state_dict(state | fitting, strict=True)
    loaded = tuple(name for name in fitting if name not in reshaped)
    return Account(source, loaded, reshaped, fresh, tuple(name for name in weights if name not in state))


def _fit(name: str, given: Tensor, shape: torch.Size) -> tuple[Tensor | None, str]:
    """`given` re-shaped to `shape` and how, or None where no meaning would survive."""
    if given.ndim == 4 and len(shape) == 4 and given.shape[:2] == shape[:2]:
        return _fit_kernel(given, shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "relative_position_bias_table" and given.ndim == 2 and given.shape[1] == shape[1]:
        return _fit_square_table(given.T.unsqueeze(0), 0, shape)
    if "pos" in leaf and given.ndim == 3 and len(shape) == 3 and given.shape[2] == shape[2]:
        return _fit_square_table(given.transpose(1, 2), _prefix_tokens(given.shape[1], shape[1]), shape)
    if "pos" in leaf and given.ndim == 4 and len(shape) == 4:  # (1, C, h, w) or (1, h, w, C)
        if given.shape[1] == shape[1]:
            return F.interpolate(given.float(), shape[2:], mode="bicubic", antialias=True), "interpolated (bicubic)"
        if given.shape[3] == shape[3]:
            table = F.interpolate(given.permute(0, 3, 1, 2).float(), shape[1:3], mode="bicubic", antialias=True)
            return table.permute(0, 2, 3, 1), "interpolated (bicubic)"
    return None, ""


def _fit_kernel(given: Tensor, shape: torch.Size) -> tuple[Tensor, str]:
    """A convolution's kernel at another size: the centre of a larger odd one, else resampled.

    Resampled kernels are scaled so that a constant image gives the same response.
    """
    (old_h, old_w), (new_h, new_w) = given.shape[2:], shape[2:]
    if old_h % 2 and old_w % 2 and new_h % 2 and new_w % 2 and new_h <= old_h and new_w <= old_w:
        top, left = (old_h - new_h) // 2, (old_w - new_w) // 2
        return given[:, :, top : top + new_h, left : left + new_w], "the kernel's centre"
    resampled = F.interpolate(given.float(), (new_h, new_w), mode="bicubic", antialias=True)
    return resampled * (old_h * old_w) / (new_h * new_w), "the kernel resampled (bicubic, equal response to a constant)"


def _prefix_tokens(old: int, new: int) -> int:
    """How many leading class or register tokens make both lengths squares: 0, 1, 2, or up to 8; -1 for none."""
    for prefix in range(9):
        if math.isqrt(old - prefix) ** 2 == old - prefix and math.isqrt(new - prefix) ** 2 == new - prefix:
            return prefix
    return -1


def _fit_square_table(table: Tensor, prefix: int, shape: torch.Size) -> tuple[Tensor | None, str]:
    """A table (1, C, prefix + s*s) interpolated over its s x s grid to `shape`, its length axis before its channels."""
    length = shape[-2]
    kept, grid = table[:, :, :prefix], table[:, :, prefix:]
    old, new = math.isqrt(grid.shape[2]), math.isqrt(length - prefix)
    if prefix < 0 or old * old != grid.shape[2] or new * new != length - prefix:
        return None, ""
    square = F.interpolate(grid.reshape(1, -1, old, old).float(), (new, new), mode="bicubic", antialias=True)
    fitted = torch.cat((kept.float(), square.flatten(2)), dim=2)
    return fitted.transpose(1, 2).reshape(shape), "interpolated (bicubic)"
