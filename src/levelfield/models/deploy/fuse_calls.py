"""Sums with another map and ReLUs that a module's own code computes of what a packed layer made, left to the layer.

Means over a map are taken by the faster kernel.

A residual block adds its shortcut in its own `forward`, where no module stands for the sum. The code is followed by
torch.fx, a module at a time with all modules inside it taken as they are. What asks for values, shapes to branch on,
dtypes or devices is not followed and stays as it is; so does what the numbers of the watched pass speak against.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import fx, nn

from levelfield.models.deploy.packed_layers import NOTHING, PackedConv2d, PackedLinear
from levelfield.models.kernels.map_mean import map_mean
from levelfield.models.kernels.may_replace import is_as_its_class
from levelfield.models.stochastic_depth import DropPath

SUMS: Final[set[Any]] = {operator.add, operator.iadd, torch.add}
RELUS: Final[set[Any]] = {F.relu, F.relu_, torch.relu, torch.relu_}
MAP: Final[tuple[Any, ...]] = ((2, 3), [2, 3], (-2, -1), [-2, -1])
"""Axes of a mean over the map."""
UNKNOWN: Final = ("dtype", "device", "layout")
"""What a traced value cannot say of itself: whatever it is compared with, the code would take one branch silently."""


class _Value(fx.Proxy):
    def __getattr__(self, name: str) -> Any:
        if name in UNKNOWN:
            raise fx.proxy.TraceError(f"{name} is not known")
        return super().__getattr__(name)


class _OneModule(fx.Tracer):
    """Follows the code of one module; the modules inside it are called, not followed."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)


def fused_forward(module: nn.Module) -> tuple[Callable[..., Any], int, int] | None:
    """A `forward` for `module` that leaves sums and ReLUs to packed layers, how many it leaves to them, and how many
    means it takes by `map_mean`; None where there are none, or the code cannot be followed.
    """
    if _switches_autocast(type(module)):
        return None
    had = set(vars(module))
    try:
        graph = _OneModule().trace(module)
    except Exception:  # any code may fail in any way when it is given something else than a tensor
        return None
    finally:
        for name in set(vars(module)) - had:
            delattr(module, name)  # constants that the tracer keeps
    parts = _Parts(graph, dict(module.named_modules()))
    if any(node.op == "get_attr" and str(node.target).startswith("_tensor_constant") for node in graph.nodes):
        return None
    parts.skip_idle()
    fused, means = parts.fuse_sums() + parts.fuse_relus(), parts.take_means()
    if fused + means == 0:
        return None
    graph.lint()
    return type(fx.GraphModule(module, graph)).forward, fused, means


class _Parts:
    """The graph of one module's code."""

    def __init__(self, graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
        self.graph = graph
        self.modules = modules

    def of(self, node: Any) -> nn.Module | None:
        """The module that `node` calls."""
        return self.modules.get(str(node.target)) if isinstance(node, fx.Node) and node.op == "call_module" else None

    def replace(self, node: fx.Node, by: fx.Node) -> None:
        node.replace_all_uses_with(by)
        self.graph.erase_node(node)

    def skip_idle(self) -> None:
        """Leave out calls of modules that do nothing in evaluation."""
        for node in list(self.graph.nodes):
            if _idle(self.of(node)) and len(node.args) == 1 and not node.kwargs:
                self.replace(node, node.args[0])

    def free(self, node: Any) -> bool:
        """Whether `node` calls a packed layer, without an activation, and one node uses what it makes."""
        layer = self.of(node)
        packed = isinstance(layer, PackedConv2d | PackedLinear) and layer.activation == NOTHING
        return packed and len(node.users) == 1 and len(node.args) == 1 and "relu" not in node.kwargs

    def fuse_sums(self) -> int:
        """Let convolutions add; the last of two, as the other is there when it is computed."""
        count = 0
        for node in list(self.graph.nodes):
            if node.op != "call_function" or node.target not in SUMS or len(node.args) != 2 or node.kwargs:
                continue
            left, right = node.args
            if not isinstance(left, fx.Node) or not isinstance(right, fx.Node) or left is right:
                continue
            pairs = [(one, other) for one, other in ((left, right), (right, left)) if self.free(one)]
            pairs = [(one, other) for one, other in pairs if isinstance(self.of(one), PackedConv2d)]
            if not pairs:
                continue
            last, other = max(pairs, key=lambda pair: list(self.graph.nodes).index(pair[0]))
            with self.graph.inserting_before(node):
                made = self.graph.call_module(str(last.target), last.args, {"plus": other})
            self.replace(node, made)
            self.graph.erase_node(last)
            count += 1
        return count

    def fuse_relus(self) -> int:
        """Let packed layers compute the ReLU after them."""
        count = 0
        for node in list(self.graph.nodes):
            act = self.of(node)
            is_relu = (node.op == "call_function" and node.target in RELUS) or (
                act is not None and type(act) is nn.ReLU and is_as_its_class(act)
            )
            if is_relu and len(node.args) == 1 and set(node.kwargs) <= {"inplace"} and self.free(node.args[0]):
                node.args[0].kwargs = {**node.args[0].kwargs, "relu": True}
                self.replace(node, node.args[0])
                count += 1
        return count

    def take_means(self) -> int:
        """Let `map_mean` take the means over maps that keep their axes."""
        count = 0
        for node in list(self.graph.nodes):
            axes = node.args[1] if len(node.args) == 2 else node.kwargs.get("dim")
            keeps = node.kwargs.get("keepdim") is True and set(node.kwargs) <= {"keepdim", "dim"}
            if node.op == "call_method" and node.target == "mean" and keeps and axes in MAP:
                with self.graph.inserting_before(node):
                    made = self.graph.call_function(map_mean, (node.args[0],))
                self.replace(node, made)
                count += 1
        return count


def _idle(module: nn.Module | None) -> bool:
    """Whether `module` gives back what it is given, in evaluation: of these classes, none derived, with no hook."""
    kind = type(module)
    named_so = kind.__name__ == "DropPath" and kind.__module__.startswith("timm.layers")
    idle = kind in (nn.Identity, nn.Dropout, nn.Dropout2d, DropPath) or named_so
    return module is not None and idle and is_as_its_class(module)


def _switches_autocast(kind: type) -> bool:
    """Whether the code of a class may turn autocast on or off, which a traced graph would not do."""
    own = [base for base in kind.__mro__ if base not in (nn.Module, object)]
    codes = [value.__code__ for base in own for value in vars(base).values() if hasattr(value, "__code__")]
    return any("autocast" in name for code in codes for name in code.co_names)
