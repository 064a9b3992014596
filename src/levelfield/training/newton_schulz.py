"""Newton-Schulz iterations of many matrices at once: Muon's orthogonalisation, in as few launches as a GPU deserves.

One matrix takes 15 small products. On a CPU matrices of one shape are stacked (`orthogonalise_stacked`: in half of the
time where they are small, and but for rare last bits the numbers of one by one). On a GPU, where 96 small matrices cost
96 times 15 launches, all are packed by one gather into few stacks of padded shapes (`PackedMatrices`): zeros beyond a
matrix's edge stay zero and add nothing, so that padding changes what rounding changes and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from levelfield.data.to_device import to_device
from levelfield.precision import multiplies_bf16

STACKED_VALUES: Final = 1 << 20
"""A CPU takes larger matrices one by one: a stack of them leaves its caches (512 x 4608: 1.3 times the time)."""
LAUNCHES: Final = 18
"""Of one stack: a norm, its floor, a division and three products in each of five iterations."""
LAUNCH_IN_FLOPS: Final = 1e9
"""What a launch is worth when shapes are padded to save some: 5 microseconds at 200 TFLOP/s."""

Shape = tuple[int, int]


@dataclass(frozen=True)
class Iteration:
    """How matrices are orthogonalised: a triple of coefficients an iteration (those of timm's Muon), and the norm's
    floor `eps`; `damped` adds eps * sqrt(columns / rows) to the norm instead (arXiv 2512.05620)."""

    coefficients: tuple[tuple[float, float, float], ...]
    eps: float
    safety_factor: float
    damped: bool
    dtype: torch.dtype
    """Of the products, and of what is orthogonalised."""


def products_dtype(device: torch.device) -> torch.dtype:
    """bfloat16, as timm has it, where `device` multiplies it natively, else float32."""
    return torch.bfloat16 if multiplies_bf16(device) else torch.float32


def orthogonalise_stacked(matrices: Sequence[Tensor], zeropower: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """`zeropower` of every matrix, called once for all of one shape; it takes (m, n) and (count, m, n)."""
    found: list[Tensor] = list(matrices)
    for numbers in _by_shape([(m.shape[0], m.shape[1]) for m in matrices]).values():
        if len(numbers) == 1 or matrices[numbers[0]].numel() > STACKED_VALUES:
            for number in numbers:
                found[number] = zeropower(matrices[number])
        else:
            together = zeropower(torch.stack([matrices[number] for number in numbers]))
            for number, matrix in zip(numbers, together.unbind(0), strict=True):
                found[number] = matrix
    return found


def _by_shape(shapes: Sequence[Shape]) -> dict[Shape, list[int]]:
    groups: dict[Shape, list[int]] = {}
    for number, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(number)
    return groups


def flops(shape: Shape) -> float:
    """Floating-point operations of five iterations on one matrix, rows <= columns."""
    rows, columns = shape
    return 5.0 * (4.0 * rows * rows * columns + 2.0 * rows**3)


def choose_stacks(shapes: Sequence[Shape]) -> list[tuple[Shape, list[int]]]:
    """Padded shapes, rows <= columns, and which of `shapes` each takes (tall ones lie down).

    Those of one shape begin together; then the two stacks whose union saves most are joined, until none saves any.
    """
    lying = [(min(shape), max(shape)) for shape in shapes]
    stacks = list(_by_shape(lying).items())

    def cost(shape: Shape, count: int) -> float:
        return LAUNCHES * LAUNCH_IN_FLOPS + count * flops(shape)

    while len(stacks) > 1:
        best: tuple[float, int, int, Shape] | None = None
        for i, (one, mine) in enumerate(stacks):
            for j, (two, others) in enumerate(stacks[:i]):
                both = (max(one[0], two[0]), max(one[1], two[1]))
                apart = cost(one, len(mine)) + cost(two, len(others))
                saved = apart - cost(both, len(mine) + len(others))
                if saved > 0 and (best is None or saved > best[0]):
                    best = (saved, i, j, both)
        if best is None:
            break
        _, i, j, both = best
        joined = (both, sorted(stacks[i][1] + stacks[j][1]))
        stacks = [stack for number, stack in enumerate(stacks) if number not in (i, j)] + [joined]
    return sorted(stacks)


class PackedMatrices:
    """Matrices of fixed `shapes` (rows, columns), which lie one after the other in one vector, orthogonalised together.

    Holds two indices of 4 bytes a (padded) value on the device, and memory for the packed values.
    """

    def __init__(self, shapes: Sequence[Shape], iteration: Iteration, device: torch.device) -> None:
        self.iteration = iteration
        sizes = [rows * columns for rows, columns in shapes]
        starts = [sum(sizes[:number]) for number in range(len(sizes))]
        self.size = zero = sum(sizes)
        self.stacks: list[tuple[int, int, Shape]] = []
        """(first place among the packed values, matrices, padded shape) of each stack."""
        gather: list[Tensor] = []
        back = torch.empty(self.size, dtype=torch.int32)
        eps: list[Tensor] = []
        at = 0
        for (m, n), numbers in choose_stacks(shapes):
            self.stacks.append((at, len(numbers), (m, n)))
            for number in numbers:
                rows, columns = shapes[number]
                own = torch.arange(starts[number], starts[number] + sizes[number], dtype=torch.int32)
                own = own.view(rows, columns) if rows <= columns else own.view(rows, columns).mT
                padded = torch.full((m, n), zero, dtype=torch.int32)
                padded[: own.shape[0], : own.shape[1]] = own
                places = torch.arange(at, at + m * n, dtype=torch.int32).view(m, n)
                back[own.long()] = places[: own.shape[0], : own.shape[1]]
                gather.append(padded.view(-1))
                at += m * n
            floors = [iteration.eps * (shapes[k][1] / shapes[k][0]) ** 0.5 for k in numbers]
            eps.append(torch.tensor(floors, dtype=iteration.dtype).view(-1, 1, 1))
        self._gather = to_device(torch.cat(gather), device)
        self._back = to_device(back, device)
        self._eps = [to_device(values, device) for values in eps] if iteration.damped else []
        self._values = torch.zeros(self.size + 1, dtype=iteration.dtype, device=device)  # the last one stays zero

    def orthogonalise(self, values: Tensor) -> Tensor:
        """The orthogonalised matrices, in the places of theirs in `values` (size,); of the iteration's dtype."""
        self._values[: self.size].copy_(values)
        packed = self._values.index_select(0, self._gather)
        results = torch.empty_like(packed)
        for number, (start, count, (m, n)) in enumerate(self.stacks):
            stack = slice(start, start + count * m * n)
            self._iterate(packed[stack].view(count, m, n), results[stack].view(count, m, n), number)
        return results.index_select(0, self._back)

    def _iterate(self, x: Tensor, result: Tensor, number: int) -> None:
        """Write the orthogonalised `x` (count, m, n), whose memory is used up, into `result`."""
        plan = self.iteration
        norm = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
        if plan.safety_factor != 1.0:
            norm.mul_(plan.safety_factor)
        x.div_(norm.add_(self._eps[number]) if plan.damped else norm.clamp_(min=plan.eps))
        square = x.new_empty((*x.shape[:-1], x.shape[-2]))
        polynomial = torch.empty_like(square)
        other = torch.empty_like(x)
        last = len(plan.coefficients) - 1
        for at, (a, b, c) in enumerate(plan.coefficients):
            into = result if at == last else other
            torch.baddbmm(square, x, x.mT, beta=0.0, alpha=1.0, out=square)
            torch.baddbmm(square, square, square, beta=b, alpha=c, out=polynomial)
            torch.baddbmm(x, polynomial, x, beta=a, alpha=1.0, out=into)
            x, other = into, x
