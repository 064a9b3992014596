"""timm's Muon in few operations: matrices orthogonalised together, the rest of the step over whole lists of tensors.

timm takes one parameter after the other: 5,491 operations a step for OutGrid-7M's 291 parameters. On a CPU the same
arithmetic runs in the same order over lists, and matrices of one shape are stacked: the same bits, but for a last one
now and then, which a stack rounds otherwise. A device without native bf16 multiplies in float32, where timm emulates
bf16 (that took two thirds of a small network's step on a processor with AVX2). On a GPU
(`on_device`) step counts, learning rates and the decision to skip an overflow of fp16 lie on the device, so that the
host never waits and a step can be captured as a CUDA graph; there values differ from timm's by rounding. The state has
timm's names. AdaMuon and kernels taken apart by position (`conv_mode: batched`) are left to timm.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import torch
from torch import Tensor

from levelfield.data.to_device import to_device
from levelfield.training.newton_schulz import Iteration, PackedMatrices, orthogonalise_stacked, products_dtype
from levelfield.training.optimizers_of_timm import file_of_timm

Group = dict[str, Any]
Members = list[tuple[Group, list[Tensor]]]
"""Parameters that have a gradient, by the group that they belong to."""


@cache
def muon() -> type[torch.optim.Optimizer]:
    """The class; timm's, whose settings it takes, is read when it is first asked for."""
    timms = file_of_timm("muon")

    class Muon(timms.Muon):  # type: ignore[misc, name-defined]
        """See the file."""

        @wraps(timms.Muon.__init__)  # type: ignore[misc] # its settings are looked up there
        def __init__(self, params: Any, *args: Any, **kwargs: Any) -> None:
            super().__init__(params, *args, **kwargs)
            groups = self.param_groups
            self._lists = all(g["algo"] == "muon" and g["conv_mode"] == "flatten" and not g["verbose"] for g in groups)
            cuda = all(p.is_cuda and p.dtype is torch.float32 for g in groups for p in g["params"])
            self.on_device = self._step_supports_amp_scaling = self._lists and cuda
            self._packed: dict[tuple[Any, ...], PackedMatrices] = {}

        @torch.no_grad()
        def step(self, closure: Callable[[], Any] | None = None) -> Any:
            if not self._lists or closure is not None:
                return super().step(closure)
            matrices, others = self._routed()
            if self.on_device:
                kept = _Scaling.of(self, [p for members in (matrices, others) for _, ps in members for p in ps])
                update_matrices_on_device(self.state, matrices, kept, timms, self._packed)
                for group, params in others:
                    update_others_on_device(self.state, group, params, kept)
                return None
            update_matrices(self.state, matrices, timms)
            for group, params in others:
                _update_others(self.state, group, params, timms)
            return None

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            super().load_state_dict(state_dict)
            for state in self.state.values():  # a count that a device kept for many is each one's own again
                if "step" in state:
                    state["step"] = state["step"].clone()

        def _routed(self) -> tuple[Members, Members]:
            """What Muon updates, and what its fallback does."""
            found: tuple[Members, Members] = ([], [])
            for group in self.param_groups:
                sides: tuple[list[Tensor], list[Tensor]] = ([], [])
                for parameter in group["params"]:
                    if parameter.grad is None:
                        continue
                    state = self.state[parameter]
                    if "use_muon" not in state:
                        fallback = group.get("use_fallback", False)
                        own = not fallback and timms._is_suitable_for_muon(parameter)
                        state["use_muon"] = own if fallback else group.get("use_muon", own)
                    sides[0 if state["use_muon"] else 1].append(parameter)
                for members, side in zip(found, sides, strict=True):
                    if side:
                        members.append((group, side))
            return found

    made: type[torch.optim.Optimizer] = Muon
    return made


class _Scaling:
    """What a loss scaler left to be done: gradients divided by `scale`, nothing moved where `good` () is zero."""

    def __init__(self, grads: dict[Tensor, Tensor], good: Tensor | None) -> None:
        self._grads, self.good = grads, good

    @classmethod
    def of(cls, optimizer: Any, params: list[Tensor]) -> _Scaling:
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is None or not params:
            return cls({}, None)
        scale, good = getattr(optimizer, "grad_scale", None), (found_inf == 0).float().view(())
        flat = torch.cat([_flat(grad, p) for grad, p in zip(_gradients(params), params, strict=True)])
        flat = torch.where(good > 0, flat if scale is None else flat / scale, 0.0)
        return cls(dict(zip(params, _like(flat, params), strict=True)), good)

    def grads(self, params: list[Tensor]) -> list[Tensor]:
        return [self._grads[p] for p in params] if self._grads else _gradients(params)

    def share(self, value: float | Tensor) -> float | Tensor:
        """`value`, or zero where nothing must move."""
        return value if self.good is None else self.good * value


def _settings(group: Group, device: torch.device, timms: Any) -> Iteration:
    steps = group["ns_steps"]
    triples = timms.resolve_ns_coefficients(group["ns_coefficients"], timms._COEFFICIENTS)
    triples = (triples + [triples[-1]] * max(0, steps - len(triples)))[:steps]
    rest = (group["eps"], group["safety_factor"], group["scale_eps"])
    return Iteration(tuple(triples), *rest, products_dtype(device))


def update_matrices(state: Any, members: Members, timms: Any) -> None:
    """One step of Muon with timm's numbers."""
    for group, params in members:
        lr, momentum = group["lr"], group["momentum"]
        grads = _gradients(params)
        buffers = [_buffer(state[p], "momentum_buffer", p) for p in params]
        torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
        torch._foreach_lerp_(buffers, grads, 1.0 - momentum)
        updates = torch._foreach_lerp(grads, buffers, momentum) if group["nesterov"] else [b.clone() for b in buffers]
        shapes = [u.shape for u in updates]
        plan = _settings(group, params[0].device, timms)

        def zeropower(x: Tensor, plan: Iteration = plan) -> Tensor:
            found: Tensor = timms.zeropower_via_newtonschulz(
                x, len(plan.coefficients), list(plan.coefficients), eps=plan.eps, safety_factor=plan.safety_factor,
                dtype=plan.dtype, scale_eps=plan.damped,
            )  # fmt: skip
            return found

        flat = orthogonalise_stacked([u.reshape(u.shape[0], -1) for u in updates], zeropower)
        for p, update, shape in zip(params, flat, shapes, strict=True):
            p.add_(update.reshape(shape), alpha=-lr * _scale(update.shape, group, timms))


def update_matrices_on_device(
    state: Any, members: Members, kept: _Scaling, timms: Any, cache: dict[tuple[Any, ...], PackedMatrices]
) -> None:
    """One step of Muon on all matrices of all groups at once. A kernel's matrix is as it lies in memory: which of its
    columns comes first is nothing to an orthogonalisation."""
    updates: list[Tensor] = []
    for group, params in members:
        momentum, grads = group["momentum"], kept.grads(params)
        buffers = [_buffer(state[p], "momentum_buffer", p) for p in params]
        _decay(params, group["lr"], group["weight_decay"], kept)
        _lerp_(buffers, grads, kept.share(1.0 - momentum))
        updates += torch._foreach_lerp(grads, buffers, momentum) if group["nesterov"] else buffers
    if not members:
        return
    every = [p for _, params in members for p in params]
    shapes = tuple((p.shape[0], p.numel() // p.shape[0]) for p in every)
    device = every[0].device
    plan = _settings(members[0][0], device, timms)
    if (key := (shapes, plan)) not in cache:
        cache[key] = PackedMatrices(shapes, plan, device)
    flat = cache[key].orthogonalise(torch.cat([_flat(u, p) for u, p in zip(updates, every, strict=True)]))
    steps = _like(flat.float(), every)
    for group, params in members:
        own, steps = steps[: len(params)], steps[len(params) :]
        rows = [(p.shape[0], p.numel() // p.shape[0]) for p in params]
        torch._foreach_mul_(own, [-_scale(shape, group, timms) for shape in rows])
        torch._foreach_mul_(own, kept.share(group["lr"]))
        torch._foreach_add_(params, own)


def _update_others(state: Any, group: Group, params: list[Tensor], timms: Any) -> None:
    """The fallback's step by timm's own function: NAdamW, or AdamW without Nesterov's momentum."""
    states = [state[p] for p in params]
    for p, own in zip(params, states, strict=True):
        own.setdefault("step", torch.zeros(()))
        _buffer(own, "exp_avg", p), _buffer(own, "exp_avg_sq", p)
    beta1, beta2 = group["betas"]
    lists = [_gradients(params), *([own[key] for own in states] for key in ("exp_avg", "exp_avg_sq"))]
    steps = [own["step"] for own in states]
    settings = {"beta1": beta1, "beta2": beta2, "lr": group["lr"] * group["fallback_lr_scale"], "foreach": None}
    settings |= {"weight_decay": group["weight_decay"], "eps": group["eps"], "caution": False, "maximize": False}
    settings |= {"capturable": group.get("capturable", False), "max_lr": None}
    if group["nesterov"]:
        timms.nadamw(params, *lists, steps, **settings)
    else:
        timms.adamw(params, *lists, [], steps, amsgrad=False, **settings)


def update_others_on_device(state: Any, group: Group, params: list[Tensor], kept: _Scaling) -> None:
    """The fallback's step (NAdamW: Dozat 2016 with decoupled decay, as timm has it), the counts on the device."""
    lr, (beta1, beta2) = group["lr"] * group["fallback_lr_scale"], group["betas"]
    for step, together in _of_one_age(state, params):
        grads = kept.grads(together)
        means, squares = ([_buffer(state[p], key, p) for p in together] for key in ("exp_avg", "exp_avg_sq"))
        step += 1.0 if kept.good is None else kept.good
        _decay(together, lr, group["weight_decay"], kept)
        _lerp_(means, grads, kept.share(1.0 - beta1))
        _lerp_(squares, list(torch._foreach_mul(grads, grads)), kept.share(1.0 - beta2))
        moves = torch._foreach_lerp(means, grads, 1.0 - beta1) if group["nesterov"] else torch._foreach_mul(means, 1.0)
        age = step.clamp(min=1.0)
        correction1, correction2 = 1.0 - beta1**age, 1.0 - beta2**age
        denominators = torch._foreach_sqrt(squares)
        torch._foreach_mul_(denominators, correction2.rsqrt())
        torch._foreach_add_(denominators, group["eps"])
        torch._foreach_div_(moves, denominators)
        torch._foreach_mul_(moves, kept.share(-lr) / correction1)
        torch._foreach_add_(together, moves)


def _of_one_age(state: Any, params: list[Tensor]) -> list[tuple[Tensor, list[Tensor]]]:
    """Parameters that have seen equally many steps share one count () on their device, which they keep as `step`."""
    found: dict[Any, tuple[Tensor, list[Tensor]]] = {}
    for p in params:
        step = state[p].get("step")
        age: Any = (
            0.0 if step is None else float(step) if step.device != p.device else id(step)
        )  # the first after a load
        if age not in found:
            fresh = to_device(torch.tensor(age), p.device) if isinstance(age, float) else step
            found[age] = (fresh, [])
        state[p]["step"] = found[age][0]
        found[age][1].append(p)
    return list(found.values())


def _gradients(params: list[Tensor]) -> list[Tensor]:
    return [p.grad for p in params if p.grad is not None]


def _buffer(state: Any, key: str, parameter: Tensor) -> Tensor:
    if key not in state:
        state[key] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    found: Tensor = state[key]
    return found


def _scale(shape: Any, group: Group, timms: Any) -> float:
    name = group["adjust_lr_fn"]
    return float(timms.get_lr_scale(shape, name)) if name else 1.0


def _decay(params: list[Tensor], lr: float | Tensor, weight_decay: float, kept: _Scaling) -> None:
    if weight_decay:
        torch._foreach_mul_(params, 1.0 - kept.share(lr * weight_decay))


def _lerp_(tensors: list[Tensor], ends: list[Tensor], weight: float | Tensor) -> None:
    """Move `tensors` towards `ends`; by nothing, to the bit, where a weight on the device is zero."""
    if isinstance(weight, Tensor):
        ways = torch._foreach_sub(ends, tensors)
        torch._foreach_mul_(ways, weight)
        torch._foreach_add_(tensors, ways)
    else:
        torch._foreach_lerp_(tensors, ends, weight)


def _flat(values: Tensor, parameter: Tensor) -> Tensor:
    """`values` as they lie in memory, laid out as `parameter`, (numel,). No copy where they lie so already."""
    strides = zip(values.shape, values.stride(), parameter.stride(), strict=True)
    if any(size > 1 and mine != its for size, mine, its in strides):
        values = torch.empty_like(parameter).copy_(values)
    return values.as_strided((values.numel(),), (1,))


def _like(flat: Tensor, params: list[Tensor]) -> list[Tensor]:
    """`flat`, cut into tensors of the shapes and layouts of `params`: views."""
    parts = torch.split(flat, [p.numel() for p in params])
    return [part.as_strided(p.shape, p.stride(), part.storage_offset()) for part, p in zip(parts, params, strict=True)]
