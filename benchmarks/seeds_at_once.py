"""Whether several seeds of one network train faster at once, as one batched model, than one after the other.

Steps (forward, backward) of `--seeds` networks with batches of their own, on one thread unless `--threads` says
otherwise, in rounds that take turns: one network after the other, as levelfield trains them (channels-last); and all at
once, by `torch.func.stack_module_state` and `vmap`, which makes of equal convolutions one with groups. BatchNorm goes
by the batch alone in all of them (`vmap` cannot move running statistics in place). Times are of the thread's CPU, which
a busy machine disturbs least; on a GPU of the clock, between synchronisations. Gradients are compared too.

    python benchmarks/seeds_at_once.py [--models resnet_nano vit_mini] [--device cpu]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from levelfield.models import create_model


def networks(name: str, seeds: int, image_size: int, device: str) -> list[nn.Module]:
    found = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        network = create_model(name, num_classes=10, image_size=image_size).to(device)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
        found.append(network)
    return found


def measured(name: str, given: argparse.Namespace) -> tuple[dict[str, float], float]:
    """Milliseconds of a step of all seeds, by way; the largest relative difference of a gradient between the ways."""
    device, seeds = given.device, given.seeds
    images = torch.randn(seeds, given.batch_size, 3, given.image_size, given.image_size, device=device)
    labels = torch.randint(0, 10, (seeds, given.batch_size), device=device)
    alone = networks(name, seeds, given.image_size, device)
    parameters, buffers = stack_module_state(copy.deepcopy(alone))
    skeleton = copy.deepcopy(alone[0]).to("meta")
    alone = [network.to(memory_format=torch.channels_last) for network in alone]  # type: ignore[call-overload]
    apart = [each.contiguous(memory_format=torch.channels_last) for each in images]

    def loss(weights: dict[str, Tensor], state: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(skeleton, (weights, state), (x,)), y)

    gradients = vmap(grad(loss), randomness="different")

    def one_after_another() -> None:
        for network, x, y in zip(alone, apart, labels, strict=True):
            network.zero_grad(set_to_none=True)
            F.cross_entropy(network(x), y).backward()  # type: ignore[no-untyped-call]

    def at_once() -> dict[str, Tensor]:
        found: dict[str, Tensor] = gradients(parameters, buffers, images, labels)
        return found

    def milliseconds(work: Callable[[], object]) -> float:
        clock = time.perf_counter if device == "cuda" else time.process_time
        if device == "cuda":
            torch.cuda.synchronize()
        begin = clock()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        return 1e3 * (clock() - begin)

    took: dict[str, list[float]] = {"one after another": [], "at once": []}
    for _ in range(given.rounds + 2):
        took["one after another"].append(milliseconds(one_after_another))
        took["at once"].append(milliseconds(at_once))
    together = at_once()
    one_after_another()
    apart_from = 0.0
    for key in together:
        each = torch.stack([dict(network.named_parameters())[key].grad for network in alone])  # type: ignore[misc]
        norm = float(each.norm())
        if norm > 1e-4:  # a bias before a BatchNorm has a gradient of rounding alone
            apart_from = max(apart_from, float((together[key].detach() - each).norm()) / norm)
    return {way: statistics.median(times[2:]) for way, times in took.items()}, apart_from


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=["resnet_nano", "vit_mini", "convnext_nano_p2"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=11)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{given.seeds} seeds, batch {given.batch_size}, {given.image_size} px, {given.device}\n")
    print("| network | one after another, ms a step | at once, ms | at once, in steps of one | gradients differ by |")
    print("|---|---|---|---|---|")
    for name in given.models:
        took, apart_from = measured(name, given)
        runs = given.seeds * took["at once"] / took["one after another"]
        shown = f"{took['one after another']:.1f} | {took['at once']:.1f} | {runs:.2f} | {apart_from:.1e}"
        print(f"| `{name}` | {shown} |")


if __name__ == "__main__":
    main()
