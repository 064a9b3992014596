"""The accuracies of networks that see the same test images, on every corruption of them at every severity."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from levelfield.analysis.corrupted_folders import Levels, read_sets
from levelfield.analysis.corruptions.corrupt import SEVERITIES, corrupt
from levelfield.analysis.corruptions.frost import Photographs
from levelfield.analysis.corruptions.severities import COMMON, EXTRA, FROST
from levelfield.analysis.network_of_run import NetworkOfRun, batches, drawn
from levelfield.analysis.result_cache import ResultCache, asked_of
from levelfield.data import Split
from levelfield.errors import UserError
from levelfield.system.machine import usable_cores
from levelfield.tables.runs_of_row import Measured

CLEAN = "clean"
Batch = tuple[Tensor, NDArray[np.int64]]
"""uint8 images (B, 3, S, S) and their labels (B,)."""


def scores_of_runs(
    runs: Sequence[Measured], cache: ResultCache, asked: Mapping[str, Any], device: str, data_dir: str | None,
    folders: Sequence[Path], photographs: Photographs | None, see: Callable[[str, int, int], None],
) -> tuple[dict[str, dict[str, Sequence[float]]], dict[str, int]]:  # fmt: skip
    """By identity the top-1 in percent by corruption; and how many `images` were corrupted, of which `side_px`."""
    networks = {
        run.folder.identity: (run, NetworkOfRun(run.folder.path, device)) for run in runs if run.folder is not None
    }
    _, first = next(iter(networks.values()))
    split = first.own_data(data_dir).test
    positions = drawn(split, asked["images"], asked["seed"])
    sets = sets_of(folders, first)  # a wrong one is told first
    found: dict[str, dict[str, Sequence[float]]] = {identity: {} for identity in networks}
    names = [name for name in (CLEAN, *COMMON, *EXTRA) if photographs or name != FROST]
    if photographs:
        photographs.cover(split.side_px)
    for number, name in enumerate(names):
        see(name, number, len(names))
        own = {**asked, "photographs": photographs.sha256} if photographs and name == FROST else asked
        _fill(name, own, networks, cache, found, partial(_levels, name, split, positions, asked["seed"], photographs))
    for folder, name, levels in sets:
        see(name, len(names), len(names))
        _fill(name, {"folder": str(folder), "files": _files(folder)}, networks, cache, found, levels)
    see("done", len(names), len(names))
    return found, {"images": len(positions), "side_px": split.side_px}


def sets_of(folders: Sequence[Path], network: NetworkOfRun) -> list[tuple[Path, str, Levels]]:
    """Each set of `folders` with its folder and name. Raises UserError where two have one name."""
    found: dict[str, tuple[Path, str, Levels]] = {}
    for folder in dict.fromkeys(folder.resolve() for folder in folders):
        for name, levels in read_sets(folder, network.run):
            if name in found:
                raise UserError(f"{found[name][0]} and {folder} both hold {name}\nrename one, or leave it out")
            found[name] = folder, name, levels
    return list(found.values())


def right_of(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> int:
    """How many of `logits` (B, C) are highest at `labels` (B,); one that is not a number makes no prediction right."""
    return int(((logits.argmax(1) == labels) & ~np.isnan(logits).any(1)).sum())


def _files(folder: Path) -> list[list[Any]]:
    """The .npy files of `folder` as they are: name, size and time of the last change."""
    return [[one.name, one.stat().st_size, one.stat().st_mtime_ns] for one in sorted(folder.glob("*.npy"))]


def _fill(
    name: str, asked: Mapping[str, Any], networks: Mapping[str, tuple[Measured, NetworkOfRun]], cache: ResultCache,
    found: dict[str, dict[str, Sequence[float]]], levels: Callable[[], Iterator[Iterator[Batch]]],
) -> None:  # fmt: skip
    """Put the scores of every network on `name` into `found`: kept ones, or those on the images of each level."""
    pending, key = {}, {}
    for identity, (run, network) in networks.items():
        key[identity] = asked_of(run, corruption=name, **asked)
        known = cache.get(identity, key[identity])
        if known is None:
            pending[identity] = network
        else:
            found[identity][name] = known["top1"]
    if not pending:
        return
    scores: dict[str, list[float]] = {identity: [] for identity in pending}
    for images in levels():
        right, count = dict.fromkeys(pending, 0), 0
        for batch, labels in images:
            count += len(labels)
            for identity, network in pending.items():
                right[identity] += right_of(network.logits(batch), labels)
        for identity in pending:
            scores[identity].append(100 * right[identity] / count)
    for identity, own in scores.items():
        cache.put(identity, key[identity], {"top1": own})
        found[identity][name] = own


def _levels(
    name: str, split: Split, positions: Tensor, seed: int, photographs: Photographs | None
) -> Iterator[Iterator[Batch]]:
    """The images of each severity, corrupted batch by batch on all cores."""

    def made(severity: int, some: Tensor) -> Batch:
        images = split.read(some)
        if name != CLEAN:
            changed = corrupt(images.numpy(), name, severity, split.index[some].numpy(), seed, photographs)
            images = torch.from_numpy(np.ascontiguousarray(changed))
        return images, split.labels[some].numpy()

    with ThreadPoolExecutor(usable_cores()) as threads:
        for severity in SEVERITIES if name != CLEAN else SEVERITIES[:1]:
            yield ahead(threads, partial(made, severity), batches(positions))


def ahead(threads: ThreadPoolExecutor, make: Callable[[Tensor], Batch], each: Iterator[Tensor]) -> Iterator[Batch]:
    """What `make` makes of each, in order, a few ahead of what is asked for: a whole test set is never in memory, and
    an interruption waits for few."""
    begun: deque[Future[Batch]] = deque()
    for some in each:
        begun.append(threads.submit(make, some))
        if len(begun) > 2 * usable_cores():
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
