"""Who trains and who does not: the one owner of a network's mode (training, evaluation, frozen, averaged).

What is frozen, and with it every module's mode, is a function of the step alone. The loop, the state, evaluation and a
resumed run ask here, so that none of them can hold another view. `nn.Module.train` and `eval` recurse into children;
what is frozen is set on the norm alone, so that nothing else loses its dropout or stochastic depth.
"""

from __future__ import annotations

import copy
import fnmatch
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from torch import nn

from levelfield.errors import UserError, nearest
from levelfield.spec import Freeze

FROZEN_NORMS: Final = {"timm.layers": "FrozenBatchNormAct2d", "torchvision.ops": "FrozenBatchNorm2d"}
"""Norms that hold statistics and never take any, by where they are from."""


class TrainingMode:
    """Which parameters of `model` are trained at which step, and the modes of its modules that follow from it.

    Parameters that `freeze` names stay fixed for its first `epochs` (None: throughout). A norm all of whose own
    parameters are frozen stays in evaluation mode, so that its statistics stay too; every other module trains. What the
    network itself holds fixed (`requires_grad` False as it was built) is never trained.
    """

    def __init__(self, model: nn.Module, freeze: Freeze, steps_per_epoch: int) -> None:
        self.model = model
        self._named = frozen_names(model, freeze)
        self._fixed = frozenset(name for name, parameter in model.named_parameters() if not parameter.requires_grad)
        self._thaw_at = None if freeze.epochs is None else freeze.epochs * steps_per_epoch
        self._entered: frozenset[str] = self._fixed

    @property
    def never_trained(self) -> frozenset[str]:
        """Names of the parameters that no step trains."""
        return self._fixed | self._named if self._thaw_at is None else self._fixed

    def frozen_at(self, step: int) -> frozenset[str]:
        """Names of the parameters that the step after `step` steps leaves as they are."""
        return self._fixed | self._named if self._thaw_at is None or step < self._thaw_at else self._fixed

    def due(self, step: int) -> bool:
        """Whether `step` freezes other parameters than the step that was entered last."""
        return self.frozen_at(step) != self._entered

    def enter(self, step: int) -> bool:
        """Put `model` into the mode of `step`; True where that changes which parameters are trained."""
        changed, frozen = self.due(step), self.frozen_at(step)
        self._entered = frozen
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name not in frozen)
        self.model.train()
        for prefix, module in self.model.named_modules():
            if keeps_statistics(module) and _held(module, prefix, frozen):
                module.training = False
        return changed


def _held(module: nn.Module, prefix: str, frozen: frozenset[str]) -> bool:
    """Whether `module` has parameters of its own and all of them are frozen."""
    own = [f"{prefix}.{key}" if prefix else key for key, _ in module.named_parameters(recurse=False)]
    return bool(own) and all(key in frozen for key in own)


def frozen_names(model: nn.Module, freeze: Freeze) -> frozenset[str]:
    """Names of the parameters that `freeze` holds fixed at first. Raises UserError for a pattern without match."""
    names = [name for name, _ in model.named_parameters()]
    chosen: set[str] = set()
    for pattern in freeze.patterns:
        matches = fnmatch.filter(names, pattern)
        if not matches:
            close = nearest(pattern.strip("*."), names, 1)
            raise UserError(
                f"recipe.freeze.patterns: {pattern!r} matches no parameter\n"
                + (f"the nearest name is {close[0]!r}" if close else f"the first names are {', '.join(names[:3])}")
            )
        chosen.update(matches)
    return frozenset(chosen)


def keeps_statistics(module: nn.Module) -> bool:
    """Whether `module` itself takes statistics of the batch in training: BatchNorm in all its forms, EvoNorm-B, ..."""
    if isinstance(module, _loaded_frozen_norms()):
        return False
    own = (name for name, _ in module.named_buffers(recurse=False))
    return isinstance(module, nn.modules.batchnorm._BatchNorm) or any(name.startswith("running_") for name in own)


def _loaded_frozen_norms() -> tuple[type[nn.Module], ...]:
    """Those of FROZEN_NORMS that are loaded; of others no network can hold an instance, so nothing is imported here."""
    return tuple(getattr(sys.modules[home], name) for home, name in FROZEN_NORMS.items() if home in sys.modules)


@contextmanager
def evaluation_mode(model: nn.Module, but: Iterable[nn.Module] = ()) -> Iterator[nn.Module]:
    """`model` in evaluation mode inside, `but` for these modules of it, which train.

    Afterwards each module has the mode it had, whatever happened inside.
    """
    before = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        for module in but:
            module.train()
        yield model
    finally:
        for module, training in before:
            module.training = training


def averaged_twin(model: nn.Module) -> nn.Module:
    """A copy of `model` that is only ever evaluated."""
    return only_evaluated(copy.deepcopy(model))


def only_evaluated(model: nn.Module) -> nn.Module:
    """`model`, from now on without gradients and in evaluation mode for good."""
    return model.eval().requires_grad_(False)
