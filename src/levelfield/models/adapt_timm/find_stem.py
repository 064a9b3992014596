"""Where a network's stem ends, told by what it does: before its first branch, and before its first grouped convolution.

A branch is a sum, product or concatenation of two features of the network (a residual, a gate, a dense connection), or
attention. What happens inside a module without children (an activation, a standardised convolution) or before the first
convolution is none. The names of modules are not looked at.
"""

from __future__ import annotations

from typing import Any, Final

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from levelfield.models.layers import NONLINEARITIES

_BRANCHES: Final = {"add", "__add__", "__iadd__", "__radd__", "mul", "__mul__", "__imul__", "__rmul__", "cat", "concat"}
_ATTENTION: Final = {"scaled_dot_product_attention", "softmax", "matmul", "__matmul__", "bmm"}


class StemWatch(TorchFunctionMode):
    """Counts calls; `called` says when each module was, `end` when the stem did, `bent` when it last bent its features.

    Use it as a context around one forward pass of a network, on one image, whose modules' calls `enter` and `leave`
    are told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.time = 0
        self.called: dict[nn.Module, int] = {}
        self.end: int | None = None
        self.bends: list[int] = []
        self._inside: list[nn.Module] = []
        self._convolved = False

    def holds(self, reducers: list[nn.Module]) -> bool:
        """Whether all of `reducers`, which meet one side of the map, lie in the stem.

        Several are a branch too, unless nothing bends what they give until it is summed, as in a convolution that is
        a sum of convolutions while it is trained.
        """
        if self.end is None:
            return True
        times = [self.called[module] for module in reducers]
        if max(times) >= self.end:
            return False
        return len(times) == 1 or not any(min(times) < bend < self.end for bend in self.bends)

    def enter(self, module: nn.Module, inputs: Any) -> None:
        """What is to be done before `module` is called."""
        self.time += 1
        self._inside.append(module)
        self.called.setdefault(module, self.time)
        if isinstance(module, nn.Conv2d):
            if module.groups > 1:
                self._ends()
            self._convolved = True

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """What is to be done after `module` was called."""
        self._inside.pop()

    def _ends(self) -> None:
        if self.end is None:
            self.end = self.time

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        self.time += 1
        if name.rstrip("_") in NONLINEARITIES:
            self.bends.append(self.time)
        own = not self._inside or next(self._inside[-1].children(), None) is not None
        if self._convolved and own and (name in _ATTENTION or self._joins(name, args)):
            self._ends()
        return func(*args, **(kwargs or {}))

    def _joins(self, name: str, args: tuple[Any, ...]) -> bool:
        """Whether two features of the network, four-dimensional and no parameters, come together."""
        if name not in _BRANCHES and name.rstrip("_") not in _BRANCHES:
            return False
        parts = args[0] if args and isinstance(args[0], (tuple, list)) else args
        features = [x for x in parts if isinstance(x, Tensor) and not isinstance(x, nn.Parameter) and x.ndim == 4]
        return len(features) > 1
